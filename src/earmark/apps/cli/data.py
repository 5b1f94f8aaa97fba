"""``earmark data``: known data sets."""

from pathlib import Path

from typer import Option

from earmark.apps.cli.options import JSON
from earmark.apps.cli.parsing import add, new_app
from earmark.apps.cli.progress import byte_bar
from earmark.apps.cli.text import print_json, say


def list_data(as_json: bool = JSON) -> None:
    """List the known data sets: size, licence, protocol."""
    from earmark.data.known import KNOWN

    every = list(KNOWN.values())
    if as_json:
        print_json({"data": [known.described() for known in every]})
        return
    for known in every:
        print(
            f"{known.name:<16} {known.clips:>7} clips {known.classes:>3} classes"
            f" {known.archive.bytes / 1e6:>6.0f} MB  {known.licence:<13} {known.protocol}"
        )


def fetch_data(
    name: str,
    to: Path | None = Option(None, help="The folder to unpack into; else the user's cache."),
    archive: Path | None = Option(None, "--from", help="A copy of its archive, used instead."),
) -> None:
    """Download a known data set and write its manifest.

    Given an archive of it, that is unpacked instead.
    """
    from earmark.data.known import catalogue, sets

    known = catalogue.find(name)
    say(f"{known.title}\nlicence: {known.licence}; see {known.page}")
    with byte_bar(known.archive.name) as bar:
        fetched = sets.fetch(name, to, archive, bar)
    say(f"{fetched.clips} clips, {known.classes} classes; {known.protocol}")
    say(f"archive: {fetched.about_hash}")
    print(fetched.manifest)


app = new_app("Known data sets: list, fetch.")
add(app, list_data, fetch_data)
