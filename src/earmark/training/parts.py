"""Training from a folder of parts: its backbone, and the embeddings of its clips."""

from __future__ import annotations

from pathlib import Path

from earmark.backbones import auto, registry
from earmark.backbones.base import Backbone
from earmark.data.dataset import Dataset
from earmark.data.parts import is_folder_of_parts, read_settings
from earmark.embeddings.embedding import Embeddings
from earmark.embeddings.table import EmbeddingTable
from earmark.errors import BackboneError


def folder_of_parts(dataset: Dataset) -> Path | None:
    """Return the folder of parts that a dataset was read from, or None."""
    data = dataset.origin.get("data")
    folder = Path(data).absolute() if data else None
    return folder if folder is not None and is_folder_of_parts(folder) else None


def backbone_of_parts(folder: Path, asked: str) -> str:
    """Return the name of the backbone that computed the parts; refuse another one."""
    own = str(read_settings(folder)["backbone"])
    if asked != auto.AUTO and registry.split_names(asked) != [own]:
        raise BackboneError(
            f"{folder} has embeddings of {own}, not of {asked}. Leave --backbone out, or train on"
            " the recordings."
        )
    return own


def embeddings_of_parts(
    folder: Path, dataset: Dataset, network: Backbone, most_bytes: int
) -> Embeddings | None:
    """Return the embeddings of a dataset from its parts; None if they are of another backbone.

    Raises BackboneError if the parts were computed with other weights, another version or another
    precision of the network.
    """
    table = EmbeddingTable(folder)
    if table.settings["backbone"] != network.info.name:
        return None
    if table.settings["fingerprint"] != network.fingerprint:
        raise BackboneError(
            f"{folder} has embeddings of {table.settings['fingerprint']}, but this run has"
            f" {network.fingerprint}. Use the same weights and --precision, or compute the parts"
            " again into another folder."
        )
    root = dataset.origin.get("root")
    return table.embeddings(
        dataset.clips, network.info, Path(root).absolute() if root else None, most_bytes
    )
