"""Suspects: clips whose label looks wrong, with reasons and the nearest clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.system.text import one_line
from earmark.training.training import Training

NEIGHBOURS = 5  # nearest clips shown beside a suspect
TINY = 1e-12


@dataclass(frozen=True)
class Neighbour:
    """A similar clip.

    Attributes
    ----------
    clip : Clip
        The clip.
    similarity : float
        The cosine of the two clips' features, at most 1.
    """

    clip: Clip
    similarity: float


@dataclass(frozen=True)
class Suspect:
    """A clip whose label, or one class of it, looks wrong.

    Attributes
    ----------
    clip : Clip
        The clip.
    suggested : str
        The whole label that is more likely; None if there is none.
    doubt : float
        0 to 1; 1 if the label is certainly wrong.
    reason : str
        The scores and the nearest clips in words.
    neighbours : tuple of Neighbour
        The nearest clips.
    """

    clip: Clip
    suggested: str | None
    doubt: float
    reason: str
    neighbours: tuple[Neighbour, ...] = ()


def neighbours(
    training: Training, clips: Sequence[Clip], rows: Sequence[int]
) -> list[tuple[Neighbour, ...]]:
    """Return the nearest clips of each row, by the cosine of features scaled as the head does.

    Clips of the same group, or of the same recording if there are no groups, are left out.
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
    """Return the suspect for class ``k`` of a clip, with a reason in words.

    ``belief`` (K,) is how likely each class is, and ``support`` how likely the label is, 0 to 1.
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
        likely = [best] if foreign.max() > 0.5 else []  # otherwise it may have no class
        suggested = (dataset.separator or "").join(others or likely) or None
        reason = f"{name!r} is in the label, but scored {belief[k]:.3f}"
    else:
        suggested = (dataset.separator or "").join([*own, name])
        reason = f"{name!r} is not in the label, but scored {belief[k]:.3f}"
    if not dataset.is_single and support > 0.5:
        suggested = None
    rival = best if dataset.is_single else name
    agree = sum(rival in dataset.classes(near.clip) for near in neighbours)
    if neighbours:
        verb = "is" if agree == 1 else "are"
        reason += f"; {agree} of its {len(neighbours)} nearest neighbours {verb} {rival!r}"
    return Suspect(clip, suggested, 1 - support, one_line(reason), neighbours)
