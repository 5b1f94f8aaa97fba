"""``earmark data``: known data sets."""

from pathlib import Path

from typer import Argument, Option

from earmark.apps.cli import signals
from earmark.apps.cli.checks import check_folder
from earmark.apps.cli.options import JSON
from earmark.apps.cli.parsing import add, new_app
from earmark.apps.cli.progress import byte_bar
from earmark.apps.cli.text import print_json, say, show
from earmark.errors import amount


def list_data(as_json: bool = JSON) -> None:
    """List the known data sets with their size, licence and protocol."""
    from earmark.data.known import KNOWN

    if as_json:
        print_json({"data": [entry.described() for entry in KNOWN.values()]})
        return
    for entry in KNOWN.values():
        show(
            f"{entry.name:<16} {entry.clips:>7} clips {entry.classes:>3} classes"
            f" {entry.archive.bytes / 1e6:>6.0f} MB  {entry.licence:<13} {entry.protocol}"
        )


def fetch_data(
    name: str = Argument(metavar="NAME", help="A name from `earmark data list`."),
    to: Path | None = Option(None, help="Unpack into this folder instead of the user's cache."),
    archive: Path | None = Option(
        None, "--from", help="Unpack this copy of the archive instead of downloading it."
    ),
) -> None:
    """Download a known data set and write its manifest."""
    from earmark.data.known import catalogue, sets

    entry = catalogue.find(name)
    check_folder(to)
    signals.goes_on()
    say(entry.title, f"licence: {entry.licence}; see {entry.page}")
    with byte_bar(entry.archive.name) as bar:
        result = sets.fetch(name, to, archive, bar)
    clips, classes = amount(result.clips, "clip"), amount(entry.classes, "class")
    say(f"{clips}, {classes}; {entry.protocol}")
    say(f"archive: {result.about_hash}")
    show(str(result.manifest))


app = new_app("List or download known data sets.")
add(app, list_data, fetch_data)
