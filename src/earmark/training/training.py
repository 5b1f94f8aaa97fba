"""train(): a dataset -> a classifier with an honest estimate of how good it is."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from earmark.backbones import registry, weights
from earmark.backbones.base import Backbone
from earmark.classifier.classifier import BackboneUse, Classifier
from earmark.classifier.decision import DecisionRule
from earmark.classifier.features import FeatureSpec
from earmark.classifier.head import KINDS
from earmark.classifier.targets import Targets
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor.examination import before_training
from earmark.data.doctor.findings import Finding
from earmark.data.splits import FOLDS, Scheme, make_scheme
from earmark.embeddings.embedding import Embeddings, embed
from earmark.embeddings.stages import Failure
from earmark.embeddings.store import Store
from earmark.errors import BackboneError, DataError, EarmarkError, did_you_mean
from earmark.system.progress import Progress
from earmark.training import baselines, candidates, estimation, heads, learning_curve
from earmark.training.estimation import OutOfFold
from earmark.training.kernels import FeatureTable
from earmark.training.selection import Candidate, Choice, Search, Solution, nested, solve
from earmark.training.unknown import find_threshold
from earmark.version import __version__

UNEQUAL = 1.5  # classes this much larger than others are weighed against them
AUTO = ("efficientat-mn04", "speech-embedding")  # the last is shipped


@dataclass(frozen=True)
class EmbeddedData:
    """A dataset as its networks heard it: the clips that all could read, and their folds."""

    dataset: Dataset
    networks: Sequence[Backbone]
    embeddings: Sequence[Embeddings]
    skipped: tuple[Failure, ...]
    content: np.ndarray  # (N,), one number for each distinct sound
    scheme: Scheme

    @property
    def clips(self) -> tuple[Clip, ...]:
        return self.embeddings[0].clips


@dataclass(frozen=True)
class Training:
    """A trained classifier, and what happened on the way."""

    classifier: Classifier
    out_of_fold: OutOfFold
    heard: EmbeddedData
    search: Search  # the features and targets of all clips, and what is made of them:
    solution: Solution
    chosen: Candidate
    clips: int
    skipped: tuple[Failure, ...]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    read_warnings: tuple[str, ...] = ()  # recordings that were not read whole, or not as they are
    findings: tuple[Finding, ...] = ()  # of the doctor, without listening again


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
    compare: bool = True,
    unknown: float | None = None,
) -> Training:
    """Train on all clips of ``data`` and estimate by nested cross-validation.

    ``backbone`` is a name, several with commas between, or 'auto'; ``head`` is 'auto', 'linear',
    'mlp' or 'prototype'; ``layers`` as in :func:`candidates.candidates`. Folds come from the data's
    folds, else its groups, else are ``folds`` stratified ones; clips whose split is 'test' are
    kept out of everything and scored once. With ``unknown``, the share of strangers to let in,
    predictions say so when nothing like a clip was trained on. ``compare`` adds baselines and a
    learning curve to the estimate. ``precision`` and ``engine`` are those of
    :func:`engines.set_engine`, and the classifier keeps to the former. The same data, arguments and
    machine give the same bytes. Clips that cannot be read are in ``Training.skipped``.
    """
    clock = _Clock()
    dataset = data if isinstance(data, Dataset) else Dataset.read(data)
    kinds = _kinds(head, dataset)
    names, notes = backbone_names(backbone)
    networks = [registry.load_backbone(name, precision, engine) for name in names]
    choices = candidates.candidates([network.info for network in networks], layers)
    heard = _hear(dataset, networks, folds, seed, store, progress)
    clock.lap("embed")

    search = _search(heard, choices, kinds, seed)
    solution = solve(search, heard.clips, heard.content, heard.scheme)
    chosen = solution.chosen.best
    clock.lap("select")

    tested = OutOfFold.gather(solution, heard.clips, search.targets, heard.scheme)
    uses, pooling = _used(networks, choices[chosen.layers])
    estimate = figures_of(tested, heard, seed)
    if compare:
        estimate |= _compared(heard, search, chosen, store)
        clock.lap("compare")
    limits = DecisionRule.fit(tested.scores, tested.of, tested.is_single)
    if unknown is not None:
        border = find_threshold(_trained_on(search, heard), chosen, unknown)
        limits = replace(limits, unknown_below=border.below)
        estimate["unknown"] = {"rate": unknown, **border._asdict()}
        clock.lap("unknown")
    provenance = {
        **_provenance(dataset, heard.embeddings, solution.chosen, seed),
        "source": dataset.origin,
        "arguments": {"backbone": backbone, "head": head, "layers": layers, "folds": folds},
    }
    labels, calibration = tuple(dataset.labels), solution.chosen.calibration
    classifier = Classifier(
        labels, uses, solution.head, calibration, pooling, limits, estimate, provenance
    )
    clock.lap("fit")
    return Training(
        classifier,
        tested,
        heard,
        replace(search, _evidence={}),
        solution,
        chosen,
        len(heard.clips),
        heard.skipped,
        notes + heard.scheme.warnings,
        clock.seconds,
        tuple(dict.fromkeys(text for e in heard.embeddings for text in e.warnings)),
        tuple(before_training(dataset, heard.clips, heard.content)),
    )


def _hear(
    dataset: Dataset,
    networks: Sequence[Backbone],
    folds: int,
    seed: int,
    store: Store | None,
    progress: Progress | None,
) -> EmbeddedData:
    """Embed with every network and make the folds; refuse hopeless data before the long part."""
    whole = partial(make_scheme, folds=folds, seed=seed, separator=dataset.separator)
    whole(dataset.clips, np.arange(len(dataset)))  # that all contents differ is found out later
    embeddings, skipped = _embed_all(dataset, networks, store, progress)
    content = np.unique(embeddings[0].matrix, axis=0, return_inverse=True)[1].ravel()
    scheme = whole(embeddings[0].clips, content)
    return EmbeddedData(dataset, networks, embeddings, skipped, content, scheme)


def _search(
    heard: EmbeddedData, choices: Mapping[str, FeatureSpec], kinds: Sequence[str], seed: int
) -> Search:
    bank = FeatureTable(
        [n.info for n in heard.networks], [e.matrix for e in heard.embeddings], choices
    )
    targets = _targets(heard.dataset, heard.clips)
    unequal = _is_unequal(targets)
    return Search(bank, targets, heard.scheme.fold, kinds, seed, unequal, heard.dataset.separator)


def _trained_on(search: Search, heard: EmbeddedData) -> Search:
    """Return the search over what is trained on: all clips, or those outside of a test split."""
    if heard.scheme.held_out is None:
        return search
    rows = np.flatnonzero(heard.scheme.fold != heard.scheme.held_out)
    return nested(search, heard.clips, heard.content, rows)


def figures_of(tested: OutOfFold, heard: EmbeddedData, seed: int) -> dict[str, Any]:
    """Return the figures of an estimate, as :func:`estimation.figures` does."""
    scheme, labels = heard.scheme, heard.dataset.labels
    limits = tested.thresholds()
    return estimation.figures(tested, labels, seed, scheme.description, scheme.names, limits)


def _compared(
    heard: EmbeddedData, search: Search, chosen: Candidate, store: Store | None
) -> dict[str, Any]:
    """Return what the estimate is held against, and how it grows with the clips."""
    reading = search.bank.readings[chosen.layers]
    used = [n for n, names in zip(heard.networks, reading.layers, strict=True) if names]
    judged = baselines.judge(
        heard.dataset,
        heard.clips,
        heard.content,
        heard.scheme,
        search,
        used,
        heard.embeddings[0].seconds,
        store,
    )
    curve = learning_curve.learning_curve(search, chosen, heard.scheme.held_out)
    return {"baselines": judged, "learning_curve": curve}


def _targets(dataset: Dataset, clips: Sequence[Clip]) -> Targets:
    """Say which classes each clip has."""
    number = {label: k for k, label in enumerate(dataset.labels)}
    of = np.zeros((len(clips), len(number)))
    for row, clip in zip(of, clips, strict=True):
        row[[number[name] for name in dataset.classes(clip)]] = 1
    return Targets(of, np.ones(len(of)), dataset.is_single)


def _is_unequal(targets: Targets) -> bool:
    counts = targets.of.sum(0)
    return targets.is_single and bool(counts.max() > UNEQUAL * counts[counts > 0].min())


def _used(
    networks: Sequence[Backbone], reading: FeatureSpec
) -> tuple[tuple[BackboneUse, ...], dict[str, bool]]:
    """Return the backbones that ``reading`` reads of, and its other options."""
    options = asdict(reading)
    uses = zip(networks, options.pop("layers"), strict=True)
    return tuple(
        BackboneUse(network.info.name, network.fingerprint, layers)
        for network, layers in uses
        if layers
    ), options


def _kinds(head: str, dataset: Dataset) -> tuple[str, ...]:
    """Return the heads that compete; of clips with several classes, fewer can."""
    known = {"auto": KINDS, "linear": heads.LINEAR, "mlp": ("mlp",)}
    known["prototype"] = ("prototype",)
    if head not in known:
        raise EarmarkError(
            f"no head {head!r};{did_you_mean(head, known)} known: {', '.join(known)}."
        )
    kinds = tuple(k for k in known[head] if dataset.is_single or k in ("linear", "mlp"))
    if not kinds:
        raise EarmarkError(
            f"head {head!r} is for clips with one class each; give 'linear' or 'mlp'."
        )
    return kinds


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
    networks: Sequence[Backbone],
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


def _provenance(
    dataset: Dataset, embeddings: Sequence[Embeddings], chosen: Choice, seed: int
) -> dict[str, Any]:
    """Return what is needed to know later how the classifier came about."""
    digest = hashlib.sha256()
    for embedding in embeddings:
        digest.update(embedding.matrix.tobytes())
    digest.update("\n".join(str(clip.label) for clip in embeddings[0].clips).encode())
    return {
        "earmark": __version__,
        "clips": len(embeddings[0].clips),
        "audio": asdict(dataset.audio),
        "seed": seed,
        "data": digest.hexdigest(),
        "layers": chosen.best.layers,
        "penalty": chosen.best.penalty,
        "candidates": _best(chosen),
    }


def _best(choice: Choice) -> list[dict[str, Any]]:
    """Return the best candidate of each head and reading, best first."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for candidate, loss in sorted(choice.loss.items(), key=lambda item: item[1]):
        row = {**asdict(candidate), "accuracy": choice.quality[candidate], "loss": loss}
        found.setdefault((candidate.head, candidate.layers), row)
    return list(found.values())


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
