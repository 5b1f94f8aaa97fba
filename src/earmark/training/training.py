"""train(): turn a dataset into a classifier with an honest estimate of its accuracy."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from earmark.backbones import auto, registry
from earmark.backbones.base import Backbone
from earmark.classifier.classifier import BackboneUse, Classifier
from earmark.classifier.decision import DecisionRule
from earmark.classifier.estimate import Estimate
from earmark.classifier.features import FeatureSpec, layers_read
from earmark.classifier.prediction import check_names
from earmark.classifier.targets import Targets
from earmark.data.clip import Clip
from earmark.data.dataset import DataLike, Dataset, as_dataset
from earmark.data.doctor.findings import Finding
from earmark.data.splits import FOLDS
from earmark.embeddings.stages import Failure
from earmark.embeddings.store import Store
from earmark.errors import EarmarkError
from earmark.system.executors import Executor
from earmark.system.progress import Progress, Stages
from earmark.training import baselines, candidates, estimation, headline, heads, learning_curve
from earmark.training.baselines import Baseline
from earmark.training.contributions import contributions
from earmark.training.embedded_data import EmbeddedData, embed_data
from earmark.training.estimation import OutOfFold
from earmark.training.executors import Threads, Workers
from earmark.training.fitting import MEMORY, PROGRAM, check_memory
from earmark.training.inner import Average
from earmark.training.kernels import FeatureTable
from earmark.training.parts import backbone_of_parts, folder_of_parts
from earmark.training.provenance import known_clips, provenance
from earmark.training.selection import Search
from earmark.training.solution import NOT_NESTED, Solution, nested, solve, solve_once
from earmark.training.summary import training_text
from earmark.training.unknown import find_threshold
from earmark.training.verdict import verdict_of

WAITING = 3  # one part in so many of the memory is for sums on their way


@dataclass(frozen=True, repr=False)
class Training:
    """A trained classifier, its estimate, warnings and timings.

    ``print(training)`` shows what ``earmark train`` prints.

    Attributes
    ----------
    classifier : Classifier
        The trained classifier.
    estimate : Estimate
        Its accuracy on clips that it was not trained on, with an interval and a verdict.
    n_clips : int
        How many clips could be read.
    skipped : tuple of Failure
        The clips that could not be read, with the reason.
    warnings : tuple of str
        Warnings about the data as a whole.
    read_warnings, read_notes : tuple of str
        Warnings about single recordings, and notes on recordings of which very little is missing.
    findings : tuple of Finding
        What the doctor's quick checks found.
    seconds : dict
        How long each stage took in seconds, and the sum ('total').
    out_of_fold : OutOfFold
        Predictions for each tested clip by models that were not trained on its fold.
    """

    classifier: Classifier
    out_of_fold: OutOfFold
    embedded: EmbeddedData
    search: Search  # the features and targets of all clips
    solution: Solution  # the head that is saved, and the models of each fold
    chosen: Average  # the candidates that the head was fitted from
    n_clips: int
    skipped: tuple[Failure, ...]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    read_warnings: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    baselines: tuple[Baseline, ...] | None = None
    read_notes: tuple[str, ...] = ()

    @property
    def estimate(self) -> Estimate:
        """The estimate of the classifier."""
        return self.classifier.estimate

    def __str__(self) -> str:
        return training_text(self)

    def __repr__(self) -> str:
        return f"Training({self.n_clips} clips, {self.classifier!r})"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The arguments of :func:`train`, without the data.

    Without ``nested``, the clips that chose the head also score it, and its verdict says so.
    """

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
    memory: float
    executor: Executor | None = None
    nested: bool = True

    def __post_init__(self) -> None:
        check_memory(self.memory)


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
    memory: float = MEMORY / 1e9,
    executor: Executor | None = None,
) -> Training:
    """Train a classifier on labelled clips and estimate its accuracy by nested cross-validation.

    The folds are those of the data, or are made so that groups stay whole. If the data has a split
    'test', its clips are tested once instead. The same data, arguments and machine give the same
    bytes.

    Parameters
    ----------
    data : str, Path, Dataset or frame
        Labelled clips, as :meth:`Dataset.read` takes them.
    backbone : str
        A name, several names with commas between, or 'auto': the best backbone whose weights are
        on this machine. 'auto' never downloads.
    head : str
        'auto', 'linear', 'logistic', 'mlp' or 'prototype'.
    layers : str
        'auto', 'last', 'all' or 'NAME,NAME'.
    folds : int
        How many folds to make if the data has none.
    seed : int
        The seed of all random numbers.
    precision, engine : str
        As in :func:`earmark.load_backbone`. The precision is saved with the classifier.
    store : Store, optional
        Embeddings are read from it and added to it.
    progress : Progress, optional
        Is called for each stage and each step of it.
    compare : bool
        Whether to add baselines and a learning curve to the estimate.
    unknown : float, optional
        The share of clips of unknown classes that may be given a known class, 0 to 1, such as
        0.05. With it, predictions can be 'unknown'.
    memory : float
        How many gigabytes the training may take. Embeddings that do not fit are read from the
        store each time. Sets of layers that do not fit are left out and named in the warnings.
    executor : Executor, optional
        Anything with ``map(function, items)``, such as a ``ProcessPoolExecutor``: its workers sum
        over the clips and score them. The data must be a folder of parts, which they all see.

    Returns
    -------
    Training
        The classifier, its estimate, and warnings.

    Raises
    ------
    DataError
        A class has too few recordings, there is only one class, or no clip can be read.
    BackboneError
        The backbone is unknown, or its weights are missing.
    EarmarkError
        An argument has an impossible value.

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
    return _train(as_dataset(data), Settings(**arguments))


def _train(dataset: Dataset, settings: Settings) -> Training:
    """Refuse what cannot be trained, embed the clips, and train on them."""
    stages = Stages(settings.progress)
    if settings.executor is not None and folder_of_parts(dataset) is None:
        raise EarmarkError(
            "the workers of an executor read from a folder of parts, and the data is none. Compute"
            " one with `earmark embed DATA -o DIR`, or train without workers."
        )
    names, notes = usable_backbones(dataset, settings)
    networks = [registry.load_backbone(name, settings.precision, settings.engine) for name in names]
    candidates.candidates([network.info for network in networks], settings.layers)  # known layers?
    folds, store, memory = settings.folds, settings.store, settings.memory
    embedded = embed_data(dataset, networks, stages, folds, settings.seed, store, memory)
    return train_embedded(embedded, settings, stages, notes)


def usable_backbones(dataset: Dataset, settings: Settings) -> tuple[list[str], tuple[str, ...]]:
    """Return what :func:`backbone_names` returns; refuse an unknown head and ambiguous classes."""
    heads.kinds_of(settings.head, is_single=dataset.is_single)
    asks = settings.unknown is not None
    check_names(dataset.labels, is_single=dataset.is_single, asks_unknown=asks)
    if (folder := folder_of_parts(dataset)) is not None:
        return [backbone_of_parts(folder, settings.backbone)], ()
    return backbone_names(settings.backbone)


def train_embedded(
    embedded: EmbeddedData, settings: Settings, stages: Stages, notes: tuple[str, ...] = ()
) -> Training:
    """Choose and fit a head for embedded clips, and estimate its accuracy."""
    dataset, networks, seed = embedded.dataset, embedded.networks, settings.seed
    kinds = heads.kinds_of(settings.head, is_single=dataset.is_single)
    choices = candidates.candidates([network.info for network in networks], settings.layers)
    search = _search(embedded, choices, kinds, settings)
    solver = solve if settings.nested else solve_once
    solution = solver(search, embedded.clips, embedded.content, embedded.scheme, stages)
    chosen = solution.chosen.best

    tested = OutOfFold.gather(solution, embedded.clips, search.targets, embedded.scheme)
    rivals, curve = None, None
    if settings.compare:
        held_out = embedded.scheme.held_out
        rivals = _rivals(embedded, search, chosen, settings.store, stages)
        curve = tuple(learning_curve.learning_curve(search, chosen, held_out, stages))
    findings: tuple[Finding, ...] = ()
    if settings.nested:
        with stages.stage("copies", 0, "looking for near copies"):
            findings = embedded.findings
    doubts = None if settings.nested else NOT_NESTED
    estimate = estimate_of(tested, embedded, seed, rivals, doubts)
    estimate = replace(estimate, learning_curve=curve)
    rule = DecisionRule.fit(tested.scores, tested.onehot, tested.is_single)
    if (rate := settings.unknown) is not None:
        threshold = find_threshold(_trained_on(search, embedded), chosen, rate, stages)
        rule = replace(rule, unknown_threshold=threshold.below)
        estimate = replace(estimate, unknown={"rate": rate, **threshold._asdict()})
    specs = chosen.specs(search.table)
    origin = provenance(embedded, solution.chosen, vars(settings))
    origin["contributions"] = contributions(
        solution.head, search.table, specs, is_single=dataset.is_single
    )
    uses, features = used_backbones(networks, specs)
    classifier = Classifier(
        tuple(dataset.labels),
        uses,
        solution.head,
        solution.chosen.calibration,
        features,
        rule,
        estimate,
        origin,
        known=known_clips(embedded, search.table, specs, origin["data"]),
    )
    return Training(
        classifier,
        tested,
        embedded,
        replace(search, _choices={}),
        solution,
        chosen,
        len(embedded.clips),
        embedded.skipped,
        notes + embedded.scheme.warnings + tuple(dict.fromkeys(search.notes)),
        stages.seconds,
        tuple(dict.fromkeys(text for e in embedded.embeddings for text in e.warnings)),
        findings,
        rivals,
        tuple(dict.fromkeys(text for e in embedded.embeddings for text in e.notes)),
    )


def _search(
    embedded: EmbeddedData,
    choices: Mapping[str, FeatureSpec],
    kinds: Sequence[str],
    settings: Settings,
) -> Search:
    """Return the search for layers and heads over all embedded clips."""
    table = FeatureTable(
        [n.info for n in embedded.networks], [e.matrix for e in embedded.embeddings], choices
    )
    memory = int(settings.memory * 1e9)
    files = [e.files for e in embedded.embeddings if e.files is not None]
    waiting = (memory - PROGRAM - table.bytes_in_memory) // WAITING
    if settings.executor is not None:
        table = replace(table, workers=Workers(settings.executor, files, waiting))
    elif files or table.is_in_memory:  # only the thread that opened a store may read it
        table = replace(table, workers=Threads(waiting))
    targets = _targets(embedded.dataset, embedded.clips)
    unequal = targets.is_single and headline.is_unequal(targets.counts)
    return Search(
        table,
        targets,
        embedded.scheme.fold,
        kinds,
        settings.seed,
        unequal,
        embedded.dataset.separator,
        memory=memory,
    )


def _trained_on(search: Search, embedded: EmbeddedData) -> Search:
    """Return the search over the training clips: all clips, or those outside a test split."""
    if embedded.scheme.held_out is None:
        return search
    rows = np.flatnonzero(embedded.scheme.fold != embedded.scheme.held_out)
    return nested(search, embedded.clips, embedded.content, rows)


def estimate_of(
    tested: OutOfFold,
    embedded: EmbeddedData,
    seed: int,
    rivals: Sequence[Baseline] | None,
    doubts: Sequence[str] | None = None,
) -> Estimate:
    """Return the estimate of out-of-fold predictions, with the baselines ``rivals`` and verdict.

    ``doubts`` are sentences on why the figures may be too good; by default, the data's leaks.
    """
    doubts = embedded.leaks if doubts is None else doubts
    scheme, chosen = embedded.scheme, tested.chosen()
    estimate = estimation.estimate(
        tested,
        embedded.dataset.labels,
        seed,
        scheme.description,
        folds=scheme.names,
        chosen=chosen,
    )
    verdict = verdict_of(estimate, tested, chosen, rivals or (), doubts, seed)
    if rivals is not None:
        estimate = replace(estimate, baselines=tuple(rival.figures(seed) for rival in rivals))
    return replace(estimate, verdict=verdict)


def _rivals(
    embedded: EmbeddedData,
    search: Search,
    chosen: Average,
    store: Store | None,
    stages: Stages,
) -> tuple[Baseline, ...]:
    """Return the baselines that the estimate is compared with."""
    layers = layers_read(chosen.specs(search.table))
    used = [n for n, names in zip(embedded.networks, layers, strict=True) if names]
    return tuple(baselines.judge(embedded, search, used, store, stages))


def _targets(dataset: Dataset, clips: Sequence[Clip]) -> Targets:
    """Return the classes of each clip as targets."""
    number = {label: k for k, label in enumerate(dataset.labels)}
    if dataset.is_single:
        return Targets.single(np.array([number[str(clip.label)] for clip in clips]), len(number))
    onehot = np.zeros((len(clips), len(number)), bool)
    for row, clip in zip(onehot, clips, strict=True):
        row[[number[name] for name in dataset.classes(clip)]] = True
    return Targets.several(onehot)


def used_backbones(
    networks: Sequence[Backbone], specs: Sequence[FeatureSpec]
) -> tuple[tuple[BackboneUse, ...], tuple[FeatureSpec, ...]]:
    """Return the backbones that ``specs`` use, and the specs reduced to these backbones."""
    layers = layers_read(specs)
    if len(specs) > 1:  # a single spec may have its own order of layers
        layers = tuple(
            tuple(layer.name for layer in network.info.layers if layer.name in names)
            for network, names in zip(networks, layers, strict=True)
        )
    uses = tuple(
        BackboneUse(network.info.name, network.fingerprint, names)
        for network, names in zip(networks, layers, strict=True)
        if names
    )
    return uses, tuple(
        replace(spec, layers=tuple(itertools.compress(spec.layers, layers))) for spec in specs
    )


def backbone_names(backbone: str) -> tuple[list[str], tuple[str, ...]]:
    """Return the names in ``backbone``, and notes on backbones that 'auto' misses.

    Naming the same backbone twice is an error.
    """
    if backbone == auto.AUTO:
        return auto.take_at_hand()
    return registry.split_names(backbone), ()
