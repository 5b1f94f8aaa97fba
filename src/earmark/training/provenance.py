"""Provenance: what the file of a classifier records about its data and settings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from earmark.backbones import registry
from earmark.classifier.features import FeatureSpec
from earmark.classifier.known import KEY_BYTES, KnownClips
from earmark.data.clip import Clip
from earmark.system.text import to_bytes
from earmark.training.embedded_data import EmbeddedData
from earmark.training.inner import Candidate, Choice
from earmark.training.kernels import FeatureTable
from earmark.version import __version__

USUAL = (0.05, 0.95)  # quantiles of the lengths of clips; lengths outside are rare
BLOCK = 256  # clips whose features are in memory at a time


def provenance(
    embedded: EmbeddedData, chosen: Choice, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a record of the data, the chosen heads and the ``arguments`` of a training."""
    digest = hashlib.sha256()
    for embedding in embedded.embeddings:
        for first in range(0, len(embedding.matrix), BLOCK):
            rows = embedding.matrix[first : first + BLOCK]
            digest.update(np.ascontiguousarray(rows).data)
    digest.update(to_bytes("\n".join(str(clip.label) for clip in embedded.clips)))
    names = ("backbone", "head", "layers", "folds")
    own = {name: arguments[name] for name in names}
    if own["backbone"] != "auto":  # paths of folders become absolute
        own["backbone"] = ",".join(registry.split_names(own["backbone"]))
    return {
        "earmark": __version__,
        "clips": len(embedded.clips),
        "clip_seconds": np.quantile(embedded.embeddings[0].clip_seconds, USUAL).round(3).tolist(),
        "audio": asdict(embedded.dataset.audio),
        "seed": arguments["seed"],
        "data": digest.hexdigest(),
        "layers": chosen.best.reading,
        "penalty": chosen.best.members[0].penalty,
        "averaged": [
            {"head": c.head, "layers": c.reading, "penalty": c.penalty, "factor": round(factor, 4)}
            for c, factor in zip(chosen.best.members, chosen.best.factors, strict=True)
        ],
        "candidates": _best(chosen),
        "source": embedded.dataset.origin,
        "arguments": own,
    }


_Figures = list[tuple[Candidate, float, float, dict[str, bool]]]  # loss, accuracy, marks


def _best(choice: Choice) -> list[dict[str, Any]]:
    """Return the best candidate of each head and feature spec, best first.

    Candidates that were judged on all clips come first, then those screened on few clips.
    """
    judged: _Figures = [(c, loss, choice.quality[c], {}) for c, loss in choice.loss.items()]
    few: _Figures = [(c, *figures, {"screened": True}) for c, figures in choice.screened.items()]
    rows: list[dict[str, Any]] = []
    for group in (judged, few):
        best: dict[tuple[str, str], dict[str, Any]] = {}
        for candidate, loss, quality, mark in group:
            row = {
                "head": candidate.head,
                "layers": candidate.reading,
                "penalty": candidate.penalty,
                "balanced": candidate.balanced,
                "accuracy": quality,
                "loss": loss,
                **mark,
            }
            best.setdefault((candidate.head, candidate.reading), row)
        rows += best.values()
    return rows


def known_clips(
    embedded: EmbeddedData, table: FeatureTable, specs: Sequence[FeatureSpec], digest: str
) -> KnownClips:
    """Return the hashes of the training clips, which are all clips outside a test split.

    They cover the contents and the features of the chosen ``specs``. Their key comes from the
    ``digest`` of the data, so that equal trainings give equal bytes.
    """
    scheme, rows = embedded.scheme, np.arange(len(embedded.clips))
    if scheme.held_out is not None:
        rows = np.flatnonzero(scheme.fold != scheme.held_out)
    contents = embedded.embeddings[0].contents

    def clips() -> Iterator[tuple[Clip, bytes, np.ndarray]]:
        for block in np.array_split(rows, range(BLOCK, len(rows), BLOCK)):
            for row, sound in zip(block, table.features(specs, block), strict=True):
                yield embedded.clips[row], contents[row], sound

    return KnownClips.of(clips(), bytes.fromhex(digest)[:KEY_BYTES])
