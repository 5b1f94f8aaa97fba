"""train(): a dataset -> a classifier with an honest estimate of how good it is."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from earmark.backbones import registry, weights
from earmark.backbones.base import Backbone
from earmark.classifier.classifier import BackboneUse, Classifier
from earmark.classifier.decision import DecisionRule
from earmark.classifier.estimate import Estimate
from earmark.classifier.features import FeatureSpec
from earmark.classifier.head import KINDS
from earmark.classifier.targets import Targets
from earmark.data.clip import Clip
from earmark.data.dataset import DataLike, Dataset, as_dataset
from earmark.data.doctor.findings import Finding
from earmark.data.splits import FOLDS, make_scheme
from earmark.embeddings.embedding import Embeddings, embed
from earmark.embeddings.stages import Failure
from earmark.embeddings.store import Store
from earmark.errors import DataError, EarmarkError, WeightsError, did_you_mean
from earmark.system.progress import Progress
from earmark.training import baselines, candidates, estimation, heads, learning_curve
from earmark.training.embedded_data import EmbeddedData
from earmark.training.estimation import OutOfFold
from earmark.training.kernels import FeatureTable
from earmark.training.selection import Candidate, Choice, Search, Solution, nested, solve
from earmark.training.summary import training_text
from earmark.training.unknown import find_threshold
from earmark.version import __version__

UNEQUAL = 1.5  # classes this much larger than others are weighed against them
AUTO = ("efficientat-mn04", "speech-embedding")  # the last is shipped


@dataclass(frozen=True, repr=False)
class Training:
    """A trained classifier, and what happened on the way; ``print`` shows what the command prints.

    Attributes
    ----------
    classifier : Classifier
        What was trained.
    estimate : Estimate
        How good it is.
    n_clips : int
        How many clips could be read.
    skipped : tuple of Failure
        The clips that could not.
    warnings, read_warnings, findings
        What to distrust: of the data as a whole, of single recordings, and what the doctor's cheap
        checks say.
    seconds : dict
        How long each stage took.
    """

    classifier: Classifier
    out_of_fold: OutOfFold
    embedded: EmbeddedData
    search: Search  # the features and targets of all clips, and what is made of them:
    solution: Solution
    chosen: Candidate
    n_clips: int
    skipped: tuple[Failure, ...]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    read_warnings: tuple[str, ...] = ()  # recordings that were not read whole, or not as they are
    findings: tuple[Finding, ...] = ()

    @property
    def estimate(self) -> Estimate:
        """The classifier's."""
        return self.classifier.estimate

    def __str__(self) -> str:
        return training_text(self)

    def __repr__(self) -> str:
        return f"Training({self.n_clips} clips, {self.classifier!r})"


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """The arguments of :func:`train`, besides the data."""

    backbone: str
    head: str
    layers: str
    folds: int
    seed: int
    precision: str
    engine: str
    store: Store | None
    progress: Progress | None
    compare: bool
    unknown: float | None


def train(
    data: DataLike,
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
    """Train a classifier on labelled clips, and estimate by nested cross-validation how good it is.

    Folds come from the data's folds, else its groups, else are made; clips whose split is 'test'
    are scored once. The same data, arguments and machine give the same bytes.

    Parameters
    ----------
    data : str, Path, Dataset or frame
        Labelled clips, as :meth:`Dataset.read` takes them.
    backbone : str
        A name, several with commas between, or 'auto'.
    head, layers : str
        'auto', 'linear', 'mlp' or 'prototype'; 'auto', 'last', 'all' or 'NAME,NAME'.
    folds, seed : int
        How many folds to make where the data has none, and of which random numbers.
    precision, engine : str
        As in :func:`earmark.load_backbone`; the classifier keeps to the precision.
    store, progress
        Embeddings are taken from and added to a store; each embedded clip is told.
    compare : bool
        Whether to add baselines and a learning curve to the estimate.
    unknown : float, optional
        The share of strangers to let in, such as 0.05, where predictions may be 'unknown'.

    Returns
    -------
    Training
        The classifier, its estimate, and what was noticed on the way.

    Raises
    ------
    DataError
        Too few recordings of a class, one class only, no readable clip.
    BackboneError
        An unknown backbone, or weights that are missing.

    Examples
    --------
    >>> import earmark
    >>> training = earmark.train("recordings", backbone="logmel", seed=0)
    >>> training
    Training(12 clips, Classifier(2 classes, logmel, linear head, accuracy=1.000))
    >>> training.classifier.save("mine.earmark")
    """
    arguments = {name: value for name, value in locals().items() if name != "data"}
    arguments["backbone"] = ",".join(map(registry.absolute_name, backbone.split(",")))
    return _train(as_dataset(data), _Settings(**arguments))


def _train(dataset: Dataset, settings: _Settings) -> Training:
    """Embed, select, estimate, fit."""
    clock, seed = _Clock(), settings.seed
    kinds = _kinds(settings.head, dataset)
    names, notes = backbone_names(settings.backbone)
    networks = [registry.load_backbone(name, settings.precision, settings.engine) for name in names]
    choices = candidates.candidates([network.info for network in networks], settings.layers)
    embedded = _embed_data(dataset, networks, settings)
    clock.lap("embed")

    search = _search(embedded, choices, kinds, seed)
    solution = solve(search, embedded.clips, embedded.content, embedded.scheme)
    chosen = solution.chosen.best
    clock.lap("select")

    tested = OutOfFold.gather(solution, embedded.clips, search.targets, embedded.scheme)
    estimate = estimate_of(tested, embedded, seed)
    if settings.compare:
        estimate = _compared(estimate, embedded, search, chosen, settings.store)
        clock.lap("compare")
    rule = DecisionRule.fit(tested.scores, tested.onehot, tested.is_single)
    if (rate := settings.unknown) is not None:
        threshold = find_threshold(_trained_on(search, embedded), chosen, rate)
        rule = replace(rule, unknown_threshold=threshold.below)
        estimate = replace(estimate, unknown={"rate": rate, **threshold._asdict()})
        clock.lap("unknown")
    uses, pooling = _used(networks, choices[chosen.features])
    classifier = Classifier(
        tuple(dataset.labels),
        uses,
        solution.head,
        solution.chosen.calibration,
        pooling,
        rule,
        estimate,
        _provenance(embedded, solution.chosen, settings),
    )
    clock.lap("fit")
    findings = embedded.findings()
    clock.lap("copies")
    return Training(
        classifier,
        tested,
        embedded,
        replace(search, _inner_logits={}),
        solution,
        chosen,
        len(embedded.clips),
        embedded.skipped,
        notes + embedded.scheme.warnings,
        clock.seconds,
        tuple(dict.fromkeys(text for e in embedded.embeddings for text in e.warnings)),
        findings,
    )


def _embed_data(
    dataset: Dataset, networks: Sequence[Backbone], settings: _Settings
) -> EmbeddedData:
    """Embed with every network and make the folds; refuse hopeless data before the long part."""
    folds, seed = settings.folds, settings.seed
    whole = partial(make_scheme, folds=folds, seed=seed, separator=dataset.separator)
    whole(dataset.clips, np.arange(len(dataset)))  # that all contents differ is found out later
    embeddings, skipped = _embed_all(dataset, networks, settings.store, settings.progress)
    content = np.unique(embeddings[0].matrix, axis=0, return_inverse=True)[1].ravel()
    scheme = whole(embeddings[0].clips, content)
    return EmbeddedData(dataset, networks, embeddings, skipped, content, scheme)


def _search(
    embedded: EmbeddedData, choices: Mapping[str, FeatureSpec], kinds: Sequence[str], seed: int
) -> Search:
    table = FeatureTable(
        [n.info for n in embedded.networks], [e.matrix for e in embedded.embeddings], choices
    )
    targets = _targets(embedded.dataset, embedded.clips)
    unequal = _is_unequal(targets)
    return Search(
        table, targets, embedded.scheme.fold, kinds, seed, unequal, embedded.dataset.separator
    )


def _trained_on(search: Search, embedded: EmbeddedData) -> Search:
    """Return the search over what is trained on: all clips, or those outside of a test split."""
    if embedded.scheme.held_out is None:
        return search
    rows = np.flatnonzero(embedded.scheme.fold != embedded.scheme.held_out)
    return nested(search, embedded.clips, embedded.content, rows)


def estimate_of(tested: OutOfFold, embedded: EmbeddedData, seed: int) -> Estimate:
    """Return what :func:`estimation.estimate` makes of out-of-fold predictions."""
    scheme, labels = embedded.scheme, embedded.dataset.labels
    thresholds = tested.thresholds()
    return estimation.estimate(
        tested, labels, seed, scheme.description, folds=scheme.names, thresholds=thresholds
    )


def _compared(
    estimate: Estimate,
    embedded: EmbeddedData,
    search: Search,
    chosen: Candidate,
    store: Store | None,
) -> Estimate:
    """Add what the estimate is held against, and how it grows with the clips."""
    spec = search.table.specs[chosen.features]
    used = [n for n, names in zip(embedded.networks, spec.layers, strict=True) if names]
    rivals = baselines.judge(embedded, search, used, store)
    curve = learning_curve.learning_curve(search, chosen, embedded.scheme.held_out)
    return replace(estimate, baselines=tuple(rivals), learning_curve=tuple(curve))


def _targets(dataset: Dataset, clips: Sequence[Clip]) -> Targets:
    """Say which classes each clip has."""
    number = {label: k for k, label in enumerate(dataset.labels)}
    onehot = np.zeros((len(clips), len(number)))
    for row, clip in zip(onehot, clips, strict=True):
        row[[number[name] for name in dataset.classes(clip)]] = 1
    return Targets(onehot, np.ones(len(onehot)), dataset.is_single)


def _is_unequal(targets: Targets) -> bool:
    counts = targets.onehot.sum(0)
    return targets.is_single and bool(counts.max() > UNEQUAL * counts[counts > 0].min())


def _used(
    networks: Sequence[Backbone], spec: FeatureSpec
) -> tuple[tuple[BackboneUse, ...], dict[str, bool]]:
    """Return the backbones that ``spec`` reads of, and its other options."""
    options = asdict(spec)
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
        except WeightsError as error:
            why = error.problem
            return [AUTO[-1]], (f"{AUTO[-1]} alone, which knows speech better than sounds: {why}.",)
        return list(AUTO), ()
    return registry.split_names(backbone), ()


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


def _provenance(embedded: EmbeddedData, chosen: Choice, settings: _Settings) -> dict[str, Any]:
    """Return what is needed to know later how the classifier came about."""
    digest = hashlib.sha256()
    for embedding in embedded.embeddings:
        digest.update(embedding.matrix.tobytes())
    digest.update("\n".join(str(clip.label) for clip in embedded.clips).encode())
    return {
        "earmark": __version__,
        "clips": len(embedded.clips),
        "audio": asdict(embedded.dataset.audio),
        "seed": settings.seed,
        "data": digest.hexdigest(),
        "layers": chosen.best.features,
        "penalty": chosen.best.penalty,
        "candidates": _best(chosen),
        "source": embedded.dataset.origin,
        "arguments": {n: getattr(settings, n) for n in ("backbone", "head", "layers", "folds")},
    }


def _best(choice: Choice) -> list[dict[str, Any]]:
    """Return the best candidate of each head and feature spec, best first."""
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for candidate, loss in sorted(choice.loss.items(), key=lambda item: item[1]):
        settings = asdict(candidate)
        settings["layers"] = settings.pop("features")  # what files and reports of 0.1 call it
        row = {**settings, "accuracy": choice.quality[candidate], "loss": loss}
        best.setdefault((candidate.head, candidate.features), row)
    return list(best.values())


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
