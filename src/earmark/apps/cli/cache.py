"""Commands about the store of embeddings."""

from __future__ import annotations

from typing import Annotated

import typer

from earmark.apps.cli.checks import print_json
from earmark.apps.cli.options import Json

app = typer.Typer(
    help="The store of embeddings, compiled models, unfinished fine-tunings: show, prune, clear.",
    rich_markup_mode=None,
)


@app.command("show")
def show_cache(as_json: Json = False) -> None:
    """Show where the store is and what it holds, and how large the rest of the cache is."""
    from earmark.store import Store, bytes_in, engines_folder, finetuning_folder

    rest = {"engines_bytes": engines_folder(), "finetuning_bytes": finetuning_folder()}

    with Store() as store:
        rows = store.summary()
        if as_json:
            held = [{"backbone": f, "clips": n, "bytes": b} for f, n, b in rows]
            sizes = {name: bytes_in(folder) for name, folder in rest.items()}
            print_json({"path": str(store.path), "held": held, **sizes})
            return
        print(store.path)
    for fingerprint, clips, size in rows:
        print(f"{clips:>9} clips {size / 1e6:>9.1f} MB  {fingerprint}")
    for what, folder in zip(("compiled models", "fine-tunings"), rest.values(), strict=True):
        if size := bytes_in(folder):
            print(f"{what:>15} {size / 1e6:>9.1f} MB  {folder}")


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
    """Delete the store and the rest; all of it is made anew when it is needed."""
    from earmark.store import delete_rest, delete_store

    delete_rest()
    print(f"deleted {delete_store()}")
