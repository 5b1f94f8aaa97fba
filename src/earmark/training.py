"""train(): a dataset -> a classifier with an honest estimate of how good it is."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import earmark
from earmark import backbones as registry
from earmark import calibration, heads, layersets, metrics, weights
from earmark.classifier import BackboneUse, Classifier
from earmark.dataset import Clip, Dataset
from earmark.doctor import before_training
from earmark.embed import Embeddings, Failure, Progress, embed
from earmark.errors import BackboneError, DataError, EarmarkError, did_you_mean
from earmark.selection import Choice, Search, Solution, solve
from earmark.splits import FOLDS, Scheme, make_scheme
from earmark.store import Store

AUTO = ("efficientat-mn04", "speech-embedding")  # the last is shipped


@dataclass(frozen=True)
class OutOfFold:
    """What each tested clip was answered by models that had not seen its fold.

    ``logits`` and ``scores`` are (N, K), with a temperature that comes from other folds as well.
    ``cluster`` (N,) numbers what is not independent.
    """

    clips: tuple[Clip, ...]
    truth: np.ndarray
    fold: np.ndarray
    logits: np.ndarray
    scores: np.ndarray
    cluster: np.ndarray

    def rows(self, labels: Sequence[str]) -> list[tuple[str, str, str]]:
        """Return (path, label, answer) of each clip."""
        answers = self.scores.argmax(1)
        return [
            (str(clip.path), str(clip.label), labels[k])
            for clip, k in zip(self.clips, answers, strict=True)
        ]


@dataclass(frozen=True)
class Training:
    """A trained classifier, and what happened on the way."""

    classifier: Classifier
    out_of_fold: OutOfFold
    clips: int
    skipped: tuple[Failure, ...]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    read_warnings: tuple[str, ...] = ()  # recordings that were not read whole, or not as they are
    findings: tuple[str, ...] = ()  # what the doctor's cheap checks say of the data


def train(
    data: str | Path | Dataset,
    *,
    backbone: str = "auto",
    head: str = "auto",
    layers: str = "auto",
    folds: int = FOLDS,
    seed: int = 0,
    precision: str = "exact",
    engine: str = "auto",
    store: Store | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train on all clips of ``data`` and estimate by nested cross-validation.

    ``backbone`` is a name, several with commas between, or 'auto'; ``head`` is 'auto', 'linear',
    'mlp' or 'prototype'; ``layers`` as in :func:`layersets.candidates`. Folds come from the data's
    folds, else its groups, else are ``folds`` stratified ones; clips whose split is 'test' are
    kept out of everything and scored once. ``precision`` and ``engine`` are those of
    :func:`earmark.engines.equip`, and the classifier keeps to the former. The same data, arguments
    and machine give the same bytes. Clips that cannot be read are in ``Training.skipped``.
    """
    clock = _Clock()
    dataset = data if isinstance(data, Dataset) else Dataset.read(data)
    dataset.refuse_several_labels()
    kinds = _kinds(head)
    names, notes = backbone_names(backbone)
    networks = [registry.create(name, precision, engine) for name in names]
    layer_sets = layersets.candidates([network.info for network in networks], layers)
    # refuse hopeless data before the long part; that all contents differ is found out later
    make_scheme(dataset.clips, np.arange(len(dataset)), folds=folds, seed=seed)
    embeddings, skipped = _embed_all(dataset, networks, store, progress)
    clock.lap("embed")

    clips = embeddings[0].clips
    content = np.unique(embeddings[0].matrix, axis=0, return_inverse=True)[1].ravel()
    scheme = make_scheme(clips, content, folds=folds, seed=seed)
    labels = tuple(dataset.labels)
    truth = np.array([labels.index(str(clip.label)) for clip in clips])
    features = {name: layersets.features(embeddings, s) for name, s in layer_sets.items()}
    search = Search(features, truth, len(labels), scheme.fold, kinds, seed)
    solution = solve(search, clips, content, scheme)
    clock.lap("select")

    tested = _out_of_fold(solution, clips, truth, scheme)
    classifier = Classifier(
        labels,
        tuple(
            BackboneUse(network.info.name, network.fingerprint, names)
            for network, names in zip(
                networks, layer_sets[solution.chosen.best.layers], strict=True
            )
        ),
        solution.head,
        solution.chosen.temperature,
        _estimate(tested, scheme, labels, seed),
        _provenance(dataset, embeddings, solution.chosen, seed),
    )
    clock.lap("fit")
    told = tuple(dict.fromkeys(text for e in embeddings for text in e.warnings))
    warnings = notes + scheme.warnings
    findings = tuple(finding.line() for finding in before_training(dataset, clips, content))
    return Training(
        classifier, tested, len(clips), skipped, warnings, clock.seconds, told, findings
    )


def _kinds(head: str) -> tuple[str, ...]:
    if head == "auto":
        return heads.KINDS
    if head not in heads.KINDS:
        known = ("auto", *heads.KINDS)
        raise EarmarkError(
            f"no head {head!r};{did_you_mean(head, known)} known: {', '.join(known)}."
        )
    return (head,)


def backbone_names(backbone: str) -> tuple[list[str], tuple[str, ...]]:
    """Resolve commas and 'auto', and say what 'auto' had to do without.

    'auto' is :data:`AUTO`, a network for sounds beside one for speech, if the weights of the first
    are at hand or can be fetched (4 MB), and the shipped one alone otherwise. The same backbone
    twice is refused.
    """
    if backbone == "auto":
        try:
            for name in AUTO:
                for file in registry.weight_files(name):
                    weights.fetch(file)
        except BackboneError as error:
            why = str(error).partition(";")[0]
            return [AUTO[-1]], (f"{AUTO[-1]} alone, which knows speech better than sounds: {why}.",)
        return list(AUTO), ()
    names = [name.strip() for name in backbone.split(",")]
    if len(set(names)) < len(names):
        raise EarmarkError(f"backbone {backbone!r} names one twice; name each once.")
    return names, ()


def _embed_all(
    dataset: Dataset,
    networks: Sequence[registry.Backbone],
    store: Store | None,
    progress: Progress | None,
) -> tuple[list[Embeddings], tuple[Failure, ...]]:
    """Embed with every network, and keep the clips that all of them could read."""
    embeddings = [
        embed(dataset.clips, n, store, options=dataset.audio, progress=progress) for n in networks
    ]
    common = set.intersection(*(set(e.clips) for e in embeddings))
    if not common:
        first = embeddings[0].failures[0]
        raise DataError(
            f"none of the {len(dataset)} clips could be read; the first, {first.path}, because:"
            f" {first.reason}"
        )
    failures = {failure.path: failure for e in embeddings for failure in e.failures}
    return [e.only(common) for e in embeddings], tuple(failures.values())


def _out_of_fold(
    solution: Solution, clips: Sequence[Clip], truth: np.ndarray, scheme: Scheme
) -> OutOfFold:
    """Gather the tested clips."""
    rows = solution.tested
    logits = solution.logits[rows]
    tested = tuple(itertools.compress(clips, rows))
    return OutOfFold(
        tested,
        truth[rows],
        scheme.fold[rows],
        logits,
        calibration.softmax(logits),
        scheme.cluster[rows],
    )


def _estimate(
    tested: OutOfFold, scheme: Scheme, labels: Sequence[str], seed: int
) -> dict[str, Any]:
    """Return the figures of the estimate as they are printed, saved and put into JSON."""
    answer = tested.scores.argmax(1)
    right = answer == tested.truth
    folds = [
        {
            "fold": scheme.names[number],
            "accuracy": float(right[tested.fold == number].mean()),
            "n": int((tested.fold == number).sum()),
        }
        for number in np.unique(tested.fold)
    ]
    return {
        "scheme": scheme.description,
        "accuracy": float(right.mean()),
        "ci95": list(metrics.accuracy_interval(right, tested.cluster, seed)),
        "macro_f1": metrics.macro_f1(tested.truth, answer, len(labels)),
        "ece": metrics.calibration_error(tested.scores, tested.truth),
        "chance": float(np.bincount(tested.truth).max() / len(tested.truth)),
        "clips": len(tested.truth),
        "folds": folds,
    }


def _provenance(
    dataset: Dataset, embeddings: Sequence[Embeddings], chosen: Choice, seed: int
) -> dict[str, Any]:
    """Return what is needed to know later how the classifier came about."""
    digest = hashlib.sha256()
    for embedding in embeddings:
        digest.update(embedding.matrix.tobytes())
    digest.update("\n".join(str(clip.label) for clip in embeddings[0].clips).encode())
    return {
        "earmark": earmark.__version__,
        "clips": len(embeddings[0].clips),
        "audio": asdict(dataset.audio),
        "seed": seed,
        "data": digest.hexdigest(),
        "layers": chosen.best.layers,
        "penalty": chosen.best.penalty,
        "candidates": [
            {"head": c.head, "layers": c.layers, "penalty": c.penalty, "accuracy": accuracy}
            for c, accuracy in sorted(chosen.accuracy.items(), key=lambda item: -item[1])
        ],
    }


class _Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self.seconds["total"] = round(now - self._start, 3)
        self._last = now
