"""Commands about known data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from earmark import console
from earmark.cli.common import print_json
from earmark.cli.options import Json

app = typer.Typer(help="Known data sets: list, fetch.", rich_markup_mode=None)


@app.command("list")
def list_data(as_json: Json = False) -> None:
    """List the known data sets: size, licence, protocol."""
    from earmark.data.known import catalogue

    every = list(catalogue.KNOWN.values())
    if as_json:
        print_json({"data": [known.described() for known in every]})
        return
    for known in every:
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
    from earmark.data.known import catalogue, sets

    known = catalogue.find(name)
    console.say(f"{known.title}\nlicence: {known.licence}; see {known.page}")
    with console.byte_bar(known.archive.name) as bar:
        fetched = sets.fetch(name, to, archive, bar)
    console.say(f"{fetched.clips} clips, {known.classes} classes; {known.protocol}")
    console.say(f"archive: {fetched.about_hash}")
    print(fetched.manifest)
