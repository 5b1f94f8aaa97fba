"""Tags without training: which of AudioSet's classes a recording sounds like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from earmark import audio
from earmark.backbones.networks.audioset import Tagger
from earmark.backbones.registry import entry, list_backbones, load_backbone
from earmark.embeddings.computing import BATCH_S
from earmark.errors import AudioError, BackboneError, EarmarkError


@dataclass(frozen=True)
class Tags:
    """What one recording sounds like: ``scores`` by class, best first; or else an ``error``."""

    path: str
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None


def tag(
    paths: Iterable[str | Path], backbone: str = "efficientat-mn04", top: int = 5
) -> Iterator[Tags]:
    """Yield the ``top`` classes of each recording, in order; one that cannot be read has an error.

    A class's score is its mean over the windows, each weighing what it has of real samples, as the
    authors of YAMNet do it: what most of a recording is about. The maximum would name whatever was
    likeliest for one second, and grow with the length. Scores do not add up to 1.

    Raises BackboneError for a backbone that is unknown, has no classes or no weights; EarmarkError
    for ``top`` below 1.
    """
    if top < 1:
        raise EarmarkError(f"top is {top}; give how many classes to name, at least 1.")
    network = create_tagger(backbone)
    return (_tags(network, Path(path), top) for path in paths)


def _tags(network: Tagger, path: Path, top: int) -> Tags:
    try:
        x = audio.load(path, network.info.rate_hz)
    except AudioError as error:
        return Tags(str(path), error=str(error).removeprefix(f"{path}: "))
    scores, names = clip_scores(network, x), network.class_names()
    best = np.argsort(-scores, kind="stable")[:top]
    found = {names[k]: float(scores[k]) for k in best}
    return Tags(str(path), found, len(x) / network.info.rate_hz)


@torch.inference_mode()
def clip_scores(network: Tagger, x: np.ndarray) -> np.ndarray:
    """Return the mean scores (K,) float64 of the windows of a clip ``x`` (n,), by real samples."""
    info = network.info
    windows, valid = (
        torch.from_numpy(part)
        for part in audio.window(network.prepare(x), info.window, info.hop, info.context, info.step)
    )
    batch = max(1, int(BATCH_S * info.rate_hz / windows.shape[1]))
    scores = torch.cat(
        [
            network.class_scores(windows[i : i + batch], valid[i : i + batch]).cpu()
            for i in range(0, len(windows), batch)
        ]
    ).double()
    return np.asarray((valid.double() @ scores / valid.sum()).numpy())


def create_tagger(name: str) -> Tagger:
    """Load the backbone called ``name``; :class:`BackboneError` if it has no classes of its own."""
    if not issubclass(entry(name)[1], Tagger):
        taggers = [known for known in list_backbones() if issubclass(entry(known)[1], Tagger)]
        raise BackboneError(
            f"backbone {name!r} has no classes of its own; take one that has: {', '.join(taggers)}."
        )
    tagger = load_backbone(name)
    assert isinstance(tagger, Tagger)
    return tagger
