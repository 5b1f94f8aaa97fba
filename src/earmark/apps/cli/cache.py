"""``earmark cache``: what earmark keeps on disk."""

from typer import Option

from earmark.apps.cli.options import JSON
from earmark.apps.cli.parsing import add, new_app
from earmark.apps.cli.text import print_json, show


def show_cache(as_json: bool = JSON) -> None:
    """Show the cache: its folder, and the size of each part."""
    from earmark.embeddings.store import Store
    from earmark.system.cache import bytes_in, engines_folder, finetuning_folder

    rest = {"engines_bytes": engines_folder(), "finetuning_bytes": finetuning_folder()}
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
    for what, folder in zip(("compiled models", "fine-tunings"), rest.values(), strict=True):
        if size := bytes_in(folder):
            show(f"{what:>15} {size / 1e6:>9.1f} MB  {folder}")


def prune_cache(
    max_mb: float = Option(..., "--max-mb", min=0, help="Megabytes to keep."),
) -> None:
    """Delete the oldest embeddings until the store holds --max-mb."""
    from earmark.embeddings.store import Store

    with Store() as store:
        show(f"{store.prune(int(max_mb * 1e6))} clips deleted from {store.path}")


def clear_cache() -> None:
    """Delete all but weights and recordings; it comes again when needed."""
    from earmark.embeddings.store import delete_store
    from earmark.system.cache import delete_rest

    delete_rest()
    show(f"deleted {delete_store()}")


app = new_app("Embeddings, compiled models and the like: show, prune, clear.")
add(app, show_cache, prune_cache, clear_cache)
