"""The frozen training: the first process trains, the others get what they need of it.

Other machines have neither the store of embeddings nor the files of the first one. They need the
recordings and the weights of the networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark.backbones import registry
from earmark.backbones.base import Backbone
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.errors import EarmarkError
from earmark.training.finetuning.processes import Processes
from earmark.training.training import Training


def trained_by_first(
    processes: Processes, dataset: Dataset, options: dict[str, Any], make: Callable[[], Training]
) -> Training:
    """Return the frozen training that ``make`` returns in the first process.

    In the other processes it has no embeddings; its clips are those of their own ``dataset``, and
    its networks are loaded there. Raises EarmarkError if another process has other clips or
    weights.
    """
    if processes.count == 1:
        return make()
    own: list[Training] = []

    def message() -> tuple[Training, np.ndarray, list[str]]:
        own.append(make())
        names = [network.info.name for network in own[0].embedded.networks]
        return without_embeddings(own[0]), _places(dataset.clips, own[0].embedded.clips), names

    training, places, names = processes.from_first(message)
    processes.check_same([_identity(clip) for clip in dataset.clips], "clips")
    networks: Sequence[Backbone]
    if own:
        training, networks = own[0], own[0].embedded.networks
    else:
        how = {name: options[name] for name in ("precision", "engine") if name in options}
        networks = [registry.load_backbone(name, **how) for name in names]
        training = _completed(training, dataset, places, networks)
    processes.check_same([network.fingerprint for network in networks], "weights")
    return training


def without_embeddings(training: Training) -> Training:
    """Return a training without what is large, or belongs to this machine."""
    embedded, table = training.embedded, training.search.table
    empty = [np.zeros((0, matrix.shape[1]), matrix.dtype) for matrix in table.matrices]
    embeddings = [
        replace(each, clips=(), matrix=matrix, files=None)
        for each, matrix in zip(embedded.embeddings, empty, strict=True)
    ]
    return replace(
        training,
        embedded=replace(
            embedded,
            dataset=replace(embedded.dataset, clips=()),
            networks=(),
            embeddings=embeddings,
            store=None,
        ),
        search=replace(training.search, table=replace(table, matrices=empty, workers=None)),
    )


def _completed(
    training: Training, dataset: Dataset, places: np.ndarray, networks: Sequence[Backbone]
) -> Training:
    """Return a training with the clips and networks of this process."""
    clips = tuple(dataset.clips[place] for place in places)
    embeddings = [replace(each, clips=clips) for each in training.embedded.embeddings]
    embedded = replace(training.embedded, dataset=dataset, networks=networks, embeddings=embeddings)
    return replace(training, embedded=embedded)


def _places(every: Sequence[Clip], some: Sequence[Clip]) -> np.ndarray:
    """Return where ``some`` clips are among ``every`` clip."""
    place_of = {clip: place for place, clip in enumerate(every)}
    try:
        return np.array([place_of[clip] for clip in some])
    except KeyError as error:
        raise EarmarkError("the clips changed while they were embedded. Run it again.") from error


def _identity(clip: Clip) -> tuple[object, ...]:
    """Return what all processes must agree on; recordings may lie in another folder elsewhere."""
    return (
        Path(clip.place).name,
        clip.start,
        clip.end,
        clip.label,
        clip.group,
        clip.fold,
        clip.split,
    )
