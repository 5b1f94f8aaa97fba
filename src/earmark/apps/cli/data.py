"""Commands about known data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark.apps.cli import text as console
from earmark.apps.cli.checks import print_json
from earmark.apps.cli.options import Json

app = typer.Typer(help="Known data sets: list, fetch.", rich_markup_mode=None)


@app.command("list")
def list_data(as_json: Json = False) -> None:
    """List the known data sets: size, licence, protocol."""
    from earmark import known_data

    sets = list(known_data.KNOWN.values())
    if as_json:
        print_json({"data": [known.described() for known in sets]})
        return
    for known in sets:
        print(
            f"{known.name:<16} {known.clips:>7} clips {known.classes:>3} classes"
            f" {known.archive.bytes / 1e6:>6.0f} MB  {known.licence:<13} {known.protocol}"
        )


@app.command("fetch")
def fetch_data(
    name: str,
    to: Annotated[
        Path | None, typer.Option(help="The folder to unpack into; else the user's cache.")
    ] = None,
    archive: Annotated[
        Path | None, typer.Option("--from", help="A copy of its archive, used instead.")
    ] = None,
) -> None:
    """Download a known data set, or unpack an archive of it, and write its manifest."""
    from earmark import known_data

    known = known_data.find(name)
    console.say(f"{known.title}\nlicence: {known.licence}; see {known.page}")
    with console.byte_bar(known.archive.name) as bar:
        fetched = known_data.fetch(name, to, archive, bar)
    console.say(f"{fetched.clips} clips, {known.classes} classes; {known.protocol}")
    console.say(f"archive: {fetched.about_hash}")
    print(fetched.manifest)
