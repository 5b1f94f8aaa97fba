"""Labels that look wrong: who is suspected, and what the nearest clips say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
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

    ``suggested`` is a whole label, None where no other is more likely. ``doubt`` is 0 to 1, 1 where
    the label is surely wrong; ``reason`` says why in words.
    """

    clip: Clip
    suggested: str | None
    doubt: float
    reason: str
    neighbours: tuple[Neighbour, ...] = ()


def neighbours(
    training: Training, clips: Sequence[Clip], rows: Sequence[int]
) -> list[tuple[Neighbour, ...]]:
    """Return the nearest clips of each row by the cosine of features, scaled as the head does.

    Clips of its group, or of its recording where there are no groups, are left out.
    """
    tested, table = training.out_of_fold, training.search.table
    features = table.features(training.chosen.specs(table), np.arange(len(clips)))
    head = training.solution.head.tensors
    z = (features - head["mean"]) / head["scale"]
    z /= np.maximum(np.linalg.norm(z, axis=1, keepdims=True), TINY)

    def nearest(row: int) -> tuple[Neighbour, ...]:
        similarity = z @ z[row]
        similarity[tested.cluster == tested.cluster[row]] = -np.inf
        order = np.argsort(-similarity, kind="stable")[:NEIGHBOURS]
        near = (Neighbour(clips[k], float(similarity[k])) for k in order)
        return tuple(neighbour for neighbour in near if np.isfinite(neighbour.similarity))

    return [nearest(row) for row in rows]


def suspect_of(
    dataset: Dataset,
    clip: Clip,
    belief: np.ndarray,
    *,
    support: float,
    k: int,
    neighbours: tuple[Neighbour, ...],
) -> Suspect:
    """Say in words what speaks against class ``k`` of a clip.

    ``belief`` (K,) is how likely each class is; ``support``, how much speaks for the label.
    """
    labels, own = dataset.labels, dataset.classes(clip)
    foreign = np.where([label in own for label in labels], -1.0, belief)
    best = labels[int(foreign.argmax())]
    name = labels[k]
    if dataset.is_single:
        suggested = best if foreign.max() > belief[k] else None
        reason = f"scored {belief[k]:.3f} as {name!r} and {foreign.max():.3f} as {best!r}"
    elif name in own:
        others = [other for other in own if other != name]
        likely = [best] if foreign.max() > 0.5 else []  # else it may have no class at all
        suggested = (dataset.separator or "").join(others or likely) or None
        reason = f"{name!r} is not heard: scored {belief[k]:.3f}"
    else:
        suggested = (dataset.separator or "").join([*own, name])
        reason = f"{name!r} is missing: scored {belief[k]:.3f}"
    if not dataset.is_single and support > 0.5:
        suggested = None
    rival = best if dataset.is_single else name
    agree = sum(rival in dataset.classes(near.clip) for near in neighbours)
    if neighbours:
        reason += f"; {agree} of its {len(neighbours)} nearest neighbours are {rival!r}"
    return Suspect(clip, suggested, 1 - support, reason, neighbours)
