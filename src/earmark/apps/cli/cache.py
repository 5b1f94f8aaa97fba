"""``earmark cache``: the embeddings, compiled models and fine-tunings that are kept on disk."""

from typer import Option

from earmark.apps.cli.options import JSON
from earmark.apps.cli.parsing import add, new_app
from earmark.apps.cli.text import print_json, show
from earmark.errors import amount


def show_cache(as_json: bool = JSON) -> None:
    """Show the folder of the cache and the size of each part."""
    from earmark.embeddings.store import Store
    from earmark.system.cache import (
        bytes_in,
        engines_folder,
        finetuning_folder,
        hub_folder,
        overviews_folder,
    )

    rest = {"engines_bytes": engines_folder(), "finetuning_bytes": finetuning_folder()}
    rest |= {"hub_bytes": hub_folder(), "overviews_bytes": overviews_folder()}
    with Store() as store:
        rows = store.summary()
    if as_json:
        networks = [{"backbone": f, "clips": n, "bytes": b} for f, n, b in rows]
        sizes = {name: bytes_in(folder) for name, folder in rest.items()}
        print_json({"path": str(store.path), "held": networks, **sizes})
        return
    show(str(store.path))
    for fingerprint, n_clips, size in rows:
        show(f"{n_clips:>9} clips {size / 1e6:>9.1f} MB  {fingerprint}")
    names = ("compiled models", "fine-tunings", "from the Hub", "overviews")
    for what, folder in zip(names, rest.values(), strict=True):
        if size := bytes_in(folder):
            show(f"{what:>15} {size / 1e6:>9.1f} MB  {folder}")


def prune_cache(
    max_mb: float = Option(..., "--max-mb", min=0, help="Megabytes of embeddings to keep."),
) -> None:
    """Delete the oldest embeddings until at most --max-mb are left."""
    from earmark.embeddings.store import Store

    with Store() as store:
        n_clips = store.prune(int(max_mb * 1e6))
        show(f"deleted the embeddings of {amount(n_clips, 'clip')} from {store.path}")


def clear_cache() -> None:
    """Delete what earmark can compute again: all but weights, recordings and the Hub's files."""
    from earmark.embeddings.store import delete_store
    from earmark.system.cache import delete_rest

    delete_rest()
    show(f"deleted {delete_store()}")


app = new_app("Show, prune or clear stored embeddings and compiled models.")
add(app, show_cache, prune_cache, clear_cache)
