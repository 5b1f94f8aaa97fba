"""Folders of parts for tests: clips embedded as the command does it."""

from collections.abc import Sequence
from pathlib import Path

from earmark.audio.options import AudioOptions
from earmark.backbones.base import Backbone
from earmark.data.blocks import blocks_of
from earmark.data.clip import Clip
from earmark.embeddings import shares
from earmark.embeddings.embed_work import EmbedWork
from earmark.embeddings.part import PartSettings, divide
from earmark.embeddings.part_folder import PartFolder
from earmark.embeddings.parts import PartsRun, compute_parts
from earmark.embeddings.shares import ALL, Share


def make_parts(
    out: Path,
    clips: Sequence[Clip],
    backbone: Backbone,
    root: Path,
    share: Share = ALL,
    *,
    options: AudioOptions = AudioOptions(),  # noqa: B008  # frozen
    layers: str = "all",
    **settings: object,
) -> PartsRun:
    """Compute the missing parts of a share of ``clips`` into ``out``, and write the table."""
    shared = PartSettings.of(backbone, options, layers)
    folder = PartFolder(out, shared, {"root": str(root)})
    parts = divide(blocks_of(clips, shares.PART_CLIPS, share), shared, root)
    done = compute_parts(folder, parts, EmbedWork(shared, backbone, root), **settings)
    folder.write_table(done.summaries, share)
    return done
