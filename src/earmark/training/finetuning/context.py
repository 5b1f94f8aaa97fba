"""The input of a run of fine-tuning, and its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from earmark.audio.options import AudioOptions
from earmark.backbones.base import Backbone
from earmark.classifier.calibration import Calibration
from earmark.classifier.features import FeatureSpec
from earmark.classifier.head import Head
from earmark.classifier.targets import Targets
from earmark.system.progress import Observer
from earmark.training.finetuning.checkpoints import Checkpoints
from earmark.training.finetuning.processes import Processes
from earmark.training.finetuning.recipe import Recipe
from earmark.training.finetuning.waveforms import Waveforms


@dataclass(frozen=True, kw_only=True)
class Context:
    """The settings and data that all runs of one fine-tuning share."""

    networks: Sequence[Backbone]  # as loaded; a run changes copies of them
    how: str
    recipe: Recipe
    sounds: Waveforms
    targets: Targets
    options: AudioOptions
    seed: int
    processes: Processes
    checkpoints: Checkpoints
    observer: Observer | None = None


class Start(NamedTuple):
    """The start of a run: a ``head`` fitted to the clips ``rows``.

    ``solve`` fits a head to rows (M,) and their features (M, D).
    """

    features: tuple[FeatureSpec, ...]
    rows: np.ndarray
    head: Head
    calibration: Calibration
    solve: Callable[[np.ndarray, np.ndarray], Head]


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The result of a run: the ``head`` and the changed weights of each network.

    ``curve`` has the figures of each epoch, and ``epochs`` is the number of the best one. ``first``
    and ``best`` are the logits (M, K) of the validation clips before tuning and at that epoch.
    """

    head: Head
    weights: tuple[dict[str, np.ndarray], ...]
    curve: tuple[dict[str, float], ...]
    epochs: int
    first: np.ndarray | None = None
    best: np.ndarray | None = None
    warnings: tuple[str, ...] = ()
