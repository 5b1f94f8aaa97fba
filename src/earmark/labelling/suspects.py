"""Labels that look wrong: who is suspected, and what the nearest clips say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.training import heads
from earmark.training.training import Training

NEIGHBOURS = 5  # nearest clips shown beside a suspect
TINY = 1e-12


@dataclass(frozen=True)
class Neighbour:
    """A clip that sounds alike: ``similarity`` is the cosine, at most 1."""

    clip: Clip
    similarity: float


@dataclass(frozen=True)
class Suspect:
    """A clip whose label, or one class of it, looks wrong.

    ``suggested`` is a whole label, None where no other is more likely. ``evidence``, 0 to 1, is
    what speaks against the label; ``reason`` says it in words.
    """

    clip: Clip
    suggested: str | None
    evidence: float
    reason: str
    neighbours: tuple[Neighbour, ...] = ()


def neighbours(
    training: Training, clips: Sequence[Clip], rows: Sequence[int]
) -> list[tuple[Neighbour, ...]]:
    """Return the nearest clips of each row by the cosine of standardised features.

    Clips that are not independent of it (of its group; of its recording where there are no
    groups) are passed over.
    """
    tested, bank = training.out_of_fold, training.search.table
    features = bank.features(training.chosen.features, np.arange(len(clips)))
    mean, scale = heads.standard(features)
    z = (features - mean) / scale
    z /= np.maximum(np.linalg.norm(z, axis=1, keepdims=True), TINY)
    found = []
    for row in rows:
        similarity = z @ z[row]
        similarity[tested.cluster == tested.cluster[row]] = -np.inf
        nearest = np.argsort(-similarity, kind="stable")[:NEIGHBOURS]
        found.append(
            tuple(
                Neighbour(clips[k], float(similarity[k]))
                for k in nearest
                if np.isfinite(similarity[k])
            )
        )
    return found


def suspect_of(
    dataset: Dataset,
    clip: Clip,
    belief: np.ndarray,
    believed: float,
    k: int,
    neighbours: tuple[Neighbour, ...],
) -> Suspect:
    """Say in words what speaks against class ``k`` of a clip; ``belief`` is (K,)."""
    labels, own = dataset.labels, dataset.classes(clip)
    others = np.where([label in own for label in labels], -1.0, belief)
    best = labels[int(others.argmax())]
    name = labels[k]
    if dataset.is_single:
        suggested = best if others.max() > belief[k] else None
        reason = f"scored {belief[k]:.3f} as {name!r} and {others.max():.3f} as {best!r}"
    elif name in own:
        kept = [other for other in own if other != name] or [best]
        suggested = (dataset.separator or "").join(kept)
        reason = f"{name!r} is not heard: scored {belief[k]:.3f}"
    else:
        suggested = (dataset.separator or "").join([*own, name])
        reason = f"{name!r} is missing: scored {belief[k]:.3f}"
    if not dataset.is_single and believed > 0.5:
        suggested = None
    asked = best if dataset.is_single else name
    agree = sum(asked in dataset.classes(near.clip) for near in neighbours)
    if neighbours:
        reason += f"; {agree} of its {len(neighbours)} nearest neighbours are {asked!r}"
    return Suspect(clip, suggested, 1 - believed, reason, neighbours)
