"""train(): a dataset -> a classifier with an honest estimate of how good it is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from earmark.backbones import auto, registry
from earmark.backbones.base import Backbone
from earmark.classifier.classifier import BackboneUse, Classifier
from earmark.classifier.decision import DecisionRule
from earmark.classifier.estimate import Estimate
from earmark.classifier.features import FeatureSpec, layers_read
from earmark.classifier.head import KINDS
from earmark.classifier.prediction import check_names
from earmark.classifier.targets import Targets
from earmark.data.clip import Clip
from earmark.data.dataset import DataLike, Dataset, as_dataset
from earmark.data.doctor.findings import Finding
from earmark.data.splits import FOLDS, make_scheme
from earmark.embeddings.embedding import Embeddings, embed
from earmark.embeddings.stages import Failure
from earmark.embeddings.store import Store
from earmark.errors import DataError, EarmarkError, did_you_mean
from earmark.system.progress import Progress, Stages
from earmark.training import baselines, candidates, estimation, headline, heads, learning_curve
from earmark.training.baselines import Baseline
from earmark.training.contributions import contributions
from earmark.training.embedded_data import EmbeddedData
from earmark.training.estimation import OutOfFold
from earmark.training.fitting import MEMORY
from earmark.training.inner import Average
from earmark.training.kernels import FeatureTable
from earmark.training.provenance import known_clips, provenance
from earmark.training.selection import Search
from earmark.training.solution import Solution, nested, solve
from earmark.training.summary import training_text
from earmark.training.unknown import find_threshold
from earmark.training.verdict import verdict_of


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
        How long each stage took, and all of them ('total').
    """

    classifier: Classifier
    out_of_fold: OutOfFold
    embedded: EmbeddedData
    search: Search  # the features and targets of all clips, and what is made of them:
    solution: Solution
    chosen: Average
    n_clips: int
    skipped: tuple[Failure, ...]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    read_warnings: tuple[str, ...] = ()  # recordings that were not read whole, or not as they are
    findings: tuple[Finding, ...] = ()
    baselines: tuple[Baseline, ...] | None = None  # their answers, which a verdict is held against
    read_notes: tuple[str, ...] = ()  # recordings of which very little is missing

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
    memory: float

    def __post_init__(self) -> None:
        if not 0 < self.memory < math.inf:
            raise EarmarkError(f"memory is {self.memory:g} GB; give a number above 0, such as 4.")


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
) -> Training:
    """Train a classifier on labelled clips, and estimate by nested cross-validation how good it is.

    Folds come from the data's folds, else its groups, else are made; clips whose split is 'test'
    are scored once. The same data, arguments and machine give the same bytes.

    Parameters
    ----------
    data : str, Path, Dataset or frame
        Labelled clips, as :meth:`Dataset.read` takes them.
    backbone : str
        A name, several with commas between, or 'auto': the best whose weights are on this
        machine. It never downloads.
    head, layers : str
        'auto', 'linear', 'logistic', 'mlp' or 'prototype'; 'auto', 'last', 'all' or 'NAME,NAME'.
    folds, seed : int
        How many folds to make where the data has none, and of which random numbers.
    precision, engine : str
        As in :func:`earmark.load_backbone`; the classifier keeps to the precision.
    store, progress
        Embeddings are taken from and added to a store. The progress is told of each stage.
    compare : bool
        Whether to add baselines and a learning curve to the estimate.
    unknown : float, optional
        The share of strangers to let in, such as 0.05, where predictions may be 'unknown'.
    memory : float
        How many gigabytes the training may take. Embeddings beyond are read from the store again
        and again; sets of layers that need more are left out, and named in the warnings.

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
    stages, seed = Stages(settings.progress), settings.seed
    kinds = _kinds(settings.head, dataset)
    asks = settings.unknown is not None
    check_names(dataset.labels, is_single=dataset.is_single, asks_unknown=asks)
    names, notes = backbone_names(settings.backbone)
    networks = [registry.load_backbone(name, settings.precision, settings.engine) for name in names]
    choices = candidates.candidates([network.info for network in networks], settings.layers)
    embedded = _embed_data(dataset, networks, settings, stages)

    search = _search(embedded, choices, kinds, settings)
    solution = solve(search, embedded.clips, embedded.content, embedded.scheme, stages)
    chosen = solution.chosen.best

    tested = OutOfFold.gather(solution, embedded.clips, search.targets, embedded.scheme)
    rivals, curve = None, None
    if settings.compare:
        held_out = embedded.scheme.held_out
        rivals = _rivals(embedded, search, chosen, settings.store, stages)
        curve = tuple(learning_curve.learning_curve(search, chosen, held_out, stages))
    with stages.stage("copies", 0, "looking for near copies"):
        findings = embedded.findings
    estimate = estimate_of(tested, embedded, seed, rivals)
    estimate = replace(estimate, learning_curve=curve)
    rule = DecisionRule.fit(tested.scores, tested.onehot, tested.is_single)
    if (rate := settings.unknown) is not None:
        threshold = find_threshold(_trained_on(search, embedded), chosen, rate, stages)
        rule = replace(rule, unknown_threshold=threshold.below)
        estimate = replace(estimate, unknown={"rate": rate, **threshold._asdict()})
    origin, specs = (
        provenance(embedded, solution.chosen, vars(settings)),
        chosen.specs(search.table),
    )
    origin["contributions"] = contributions(
        solution.head, search.table, specs, is_single=dataset.is_single
    )
    uses, features = _used(networks, specs)
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


def _embed_data(
    dataset: Dataset, networks: Sequence[Backbone], settings: _Settings, stages: Stages
) -> EmbeddedData:
    """Embed with every network and make the folds; refuse hopeless data before the long part."""
    folds, seed = settings.folds, settings.seed
    whole = partial(make_scheme, folds=folds, seed=seed, separator=dataset.separator)
    whole(dataset.clips, np.arange(len(dataset)))  # that all contents differ is found out later
    embeddings, skipped = _embed_all(dataset, networks, settings, stages)
    content = embeddings[0].sounds
    scheme = whole(embeddings[0].clips, content)
    store = settings.store
    return EmbeddedData(dataset, networks, embeddings, skipped, content, scheme, store)


def _search(
    embedded: EmbeddedData,
    choices: Mapping[str, FeatureSpec],
    kinds: Sequence[str],
    settings: _Settings,
) -> Search:
    table = FeatureTable(
        [n.info for n in embedded.networks], [e.matrix for e in embedded.embeddings], choices
    )
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
        memory=int(settings.memory * 1e9),
    )


def _trained_on(search: Search, embedded: EmbeddedData) -> Search:
    """Return the search over what is trained on: all clips, or those outside of a test split."""
    if embedded.scheme.held_out is None:
        return search
    rows = np.flatnonzero(embedded.scheme.fold != embedded.scheme.held_out)
    return nested(search, embedded.clips, embedded.content, rows)


def estimate_of(
    tested: OutOfFold, embedded: EmbeddedData, seed: int, rivals: Sequence[Baseline] | None
) -> Estimate:
    """Return what out-of-fold predictions say, beside those of ``rivals``, with the verdict."""
    scheme, chosen = embedded.scheme, tested.chosen()
    estimate = estimation.estimate(
        tested,
        embedded.dataset.labels,
        seed,
        scheme.description,
        folds=scheme.names,
        chosen=chosen,
    )
    verdict = verdict_of(estimate, tested, chosen, rivals or (), embedded.leaks, seed)
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
    """Return what the estimate is held against."""
    layers = layers_read(chosen.specs(search.table))
    used = [n for n, names in zip(embedded.networks, layers, strict=True) if names]
    return tuple(baselines.judge(embedded, search, used, store, stages))


def _targets(dataset: Dataset, clips: Sequence[Clip]) -> Targets:
    """Say which classes each clip has."""
    number = {label: k for k, label in enumerate(dataset.labels)}
    if dataset.is_single:
        return Targets.single(np.array([number[str(clip.label)] for clip in clips]), len(number))
    onehot = np.zeros((len(clips), len(number)), bool)
    for row, clip in zip(onehot, clips, strict=True):
        row[[number[name] for name in dataset.classes(clip)]] = True
    return Targets.several(onehot)


def _used(
    networks: Sequence[Backbone], specs: Sequence[FeatureSpec]
) -> tuple[tuple[BackboneUse, ...], tuple[FeatureSpec, ...]]:
    """Return the backbones that ``specs`` read of, and the specs over these alone."""
    layers = layers_read(specs)
    if len(specs) > 1:  # one alone may have an order of its own
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


def _kinds(head: str, dataset: Dataset) -> tuple[str, ...]:
    """Return the heads that compete; of clips with several classes, fewer can."""
    alone = ("logistic", "mlp", "prototype")
    known = {"auto": KINDS, "linear": heads.LINEAR, **{kind: (kind,) for kind in alone}}
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
    """Resolve commas and 'auto', and say what 'auto' has to do without.

    The same backbone twice is refused.
    """
    if backbone == auto.AUTO:
        return auto.take_at_hand()
    return registry.split_names(backbone), ()


def _embed_all(
    dataset: Dataset,
    networks: Sequence[Backbone],
    settings: _Settings,
    stages: Stages,
) -> tuple[list[Embeddings], tuple[Failure, ...]]:
    """Embed with every network, and keep the clips that all of them could read."""
    embeddings = []
    for network in networks:
        with stages.stage("embed", len(dataset), f"embedding with {network.info.name}"):
            embeddings.append(
                embed(
                    dataset.clips,
                    network,
                    settings.store,
                    options=dataset.audio,
                    progress=stages.progress,
                    most_bytes=int(settings.memory * 1e9 / 4 / len(networks)),
                )
            )
    common = set.intersection(*(set(e.clips) for e in embeddings))
    if not common:
        first = embeddings[0].failures[0]
        raise DataError(
            f"none of the {len(dataset)} clips could be read; the first, {first.path}, because:"
            f" {first.reason}"
        )
    failures = {failure.path: failure for e in embeddings for failure in e.failures}
    return [e.only(common) for e in embeddings], tuple(failures.values())
