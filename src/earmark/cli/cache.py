"""Commands about the store of embeddings."""

from __future__ import annotations

from typing import Annotated

import typer

from earmark.cli.common import print_json
from earmark.cli.options import Json

app = typer.Typer(
    help="The store of embeddings, and compiled models: show, prune, clear.", rich_markup_mode=None
)


@app.command("show")
def show_cache(as_json: Json = False) -> None:
    """Show where the store is and what it holds, and how large compiled models are."""
    from earmark.store import Store, engines_bytes, engines_folder

    with Store() as store:
        rows = store.summary()
        if as_json:
            held = [{"backbone": f, "clips": n, "bytes": b} for f, n, b in rows]
            print_json({"path": str(store.path), "held": held, "engines_bytes": engines_bytes()})
            return
        print(store.path)
    for fingerprint, clips, size in rows:
        print(f"{clips:>9} clips {size / 1e6:>9.1f} MB  {fingerprint}")
    if engines_bytes():
        print(f"compiled models {engines_bytes() / 1e6:>9.1f} MB  {engines_folder()}")


@app.command("prune")
def prune_cache(
    max_mb: Annotated[float, typer.Option("--max-mb", min=0, help="Megabytes to keep.")],
) -> None:
    """Delete the oldest embeddings until the store holds --max-mb."""
    from earmark.store import Store

    with Store() as store:
        print(f"{store.prune(int(max_mb * 1e6))} clips deleted from {store.path}")


@app.command("clear")
def clear_cache() -> None:
    """Delete the store and compiled models; they are made anew when they are needed."""
    from earmark.store import delete_engines, delete_store

    delete_engines()
    print(f"deleted {delete_store()}")
