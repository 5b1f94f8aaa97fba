"""Test two ideas for better features: learned layer weights, and statistics over time.

    python benchmarks/ideas.py

Weights: earmark weighs a layer by the loss of that layer alone (`training/weighting.py`). Here the
weights are learned from that start. Adam minimises the log loss of held-out inner folds plus the
divergence from the chosen weights, which counts as PRIORS clips. "kernel" is the weighted kernel
alone; "search" includes all other candidates and averages.

Time: statistics of three layers that keep the order or the extremes of frames. Each is one more
layer, weighed by its own loss. Frames are those of the network or, for clips in several windows
(YAMNet), the windows.

Test folds are not used for any choice. Differences of the log loss are paired, over clips or over
draws of four clips per class. Draws share tested clips, so their intervals are too narrow.
Recordings and weights are found as in benchmarks/accuracy.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

import learned_weights
import over_time
from earmark import Dataset, backbones
from earmark.backbones.info import BackboneInfo
from earmark.classifier.calibration import softmax
from earmark.classifier.features import FeatureSpec
from earmark.classifier.targets import Targets
from earmark.data.clip import Clip
from earmark.data.splits import make_scheme
from earmark.embeddings.embedding import embed
from earmark.training import metrics, selection, weighting
from earmark.training.candidates import candidates
from earmark.training.inner import Candidate, Contest, Contests
from earmark.training.judging import LayerWeights
from earmark.training.kernels import FeatureTable
from earmark.training.selection import Search
from machine import describe, shared_data, write

SPEECH, YAMNET, MN04 = "speech-embedding", "yamnet-float32", "efficientat-mn04"
SETS = {  # columns, and n: every n-th clip is used
    "ESC-10": ("esc10", {"fold": "fold"}, 1),
    "FSDD, a third": ("fsdd", {"group": "speaker"}, 3),
    "finch, a quarter": ("finch", {"group": "recording"}, 4),
}
FEW = ", 4 a class"
RUNS = {
    "weights": (
        *(("ESC-10", several) for several in ((SPEECH,), (YAMNET,), (MN04,), (MN04, SPEECH))),
        *(("FSDD, a third", (name,)) for name in (SPEECH, MN04)),
        *((f"ESC-10{FEW}", several) for several in ((SPEECH,), (YAMNET, SPEECH))),
    ),
    "time": (
        *(("ESC-10", (name,)) for name in (SPEECH, YAMNET, MN04)),
        *(("FSDD, a third", (name,)) for name in (SPEECH, MN04)),
        *(("finch, a quarter", (name,)) for name in (SPEECH, MN04)),
        *((f"ESC-10{FEW}", several) for several in ((SPEECH,), (YAMNET,), (YAMNET, SPEECH))),
        (f"ESC-10{FEW}", (MN04,)),
        *((f"finch, a quarter{FEW}", (name,)) for name in (SPEECH, MN04)),
    ),
}
DRAWS, EACH = 20, 4
PRIORS = (0, 10, 100)  # the weight of the chosen weights, in clips
Answers = tuple[np.ndarray, np.ndarray, np.ndarray]  # accuracy, log loss, cluster
Rule = Callable[[Search, Contests], LayerWeights]


@dataclass(frozen=True)
class Clips:
    """Clips with the numbers of their classes, folds and recordings: all (N,)."""

    clips: tuple[Clip, ...]
    classes: np.ndarray
    fold: np.ndarray
    source: np.ndarray


@cache
def read(name: str) -> Clips:
    """Read a set, or every n-th clip of it."""
    folder, columns, every = SETS[name]
    data = Dataset.read(shared_data(folder) / "meta.csv", **columns)
    clips = data.clips[::every]
    number = {label: k for k, label in enumerate(data.labels)}
    source = [clip.group or clip.path.name.split("-")[1] for clip in clips]
    return Clips(
        clips,
        np.array([number[str(clip.label)] for clip in clips]),
        make_scheme(clips, np.arange(len(clips))).fold,
        np.array(source),
    )


@cache
def embedded(name: str, backbone: str) -> tuple[BackboneInfo, np.ndarray]:
    """Return the description of a backbone, and embeddings (N, E)."""
    network = backbones.load_backbone(backbone)
    return network.info, np.asarray(embed(read(name).clips, network).matrix)


@cache
def timed(name: str, backbone: str) -> tuple[BackboneInfo, np.ndarray]:
    """Return the statistics over time (N, E)."""
    return over_time.embed_time(backbones.load_backbone(backbone), read(name).clips)


def table(name: str, several: Sequence[str], statistics: Sequence[str] = ()) -> FeatureTable:
    """Return the features of all clips, with some statistics over time as further layers."""
    infos, matrices = map(list, zip(*(embedded(name, own) for own in several), strict=True))
    specs = candidates(infos, "auto")
    if not statistics:
        return FeatureTable(infos, matrices, specs)
    n = len(several)
    specs = {key: replace(spec, layers=spec.layers + ((),) * n) for key, spec in specs.items()}
    layers = list(specs["all"].layers[:n])
    for k, own in enumerate(several, start=n):
        info, matrix = over_time.only(*timed(name, own), statistics)
        infos.append(info)
        matrices.append(matrix)
        layers.append(tuple(layer.name for layer in info.layers))
        for layer in layers[k]:
            alone = tuple((layer,) if j == k else () for j in range(2 * n))
            specs[f"{info.name}/{layer}"] = FeatureSpec(alone)
    specs["all and time"] = FeatureSpec(tuple(layers))
    return FeatureTable(infos, matrices, specs)


class KernelAlone(Contest):
    """A contest that the weighted kernel always wins."""

    def _keep(self, candidate: Candidate, logits: np.ndarray, rows: np.ndarray) -> None:
        if candidate.is_weighted:
            super()._keep(candidate, logits, rows)


def answers(name: str, features: FeatureTable, rule: Rule, contest: type[Contest]) -> Answers:
    """Select and estimate, nested; or train on a few drawn clips and test all others."""
    data = read(name.removesuffix(FEW))
    if name.endswith(FEW):
        draws = [few(data, features, rule, contest, draw) for draw in range(DRAWS)]
        right, loss = np.array(draws).T
        return right, loss, np.arange(DRAWS)
    search = Search(features, Targets.single(data.classes, data.classes.max() + 1), data.fold)
    with ruled(search, rule, contest):
        logits = search.out_of_fold()
    return *judged(logits, data.classes), data.source


def few(
    data: Clips, features: FeatureTable, rule: Rule, contest: type[Contest], draw: int
) -> tuple[float, float]:
    """Train on EACH clips of each class; return accuracy and loss of other recordings' clips."""
    rng, n_classes = np.random.default_rng((EACH, draw)), int(data.classes.max()) + 1
    drawn = [rng.permutation(np.flatnonzero(data.classes == k))[:EACH] for k in range(n_classes)]
    rows, fold = np.stack(drawn, 1).ravel(), np.arange(EACH).repeat(n_classes)
    search = Search(features.only(rows), Targets.single(data.classes[rows], n_classes), fold)
    with ruled(search, rule, contest):
        choice = search.choose()
    head = search.fit_rows(choice.best, np.arange(len(rows)))
    others = np.flatnonzero(~np.isin(data.source, data.source[rows]))
    logits = head.logits(features.features(choice.best.names, others))
    right, loss = judged(choice.calibration.logits(logits), data.classes[others])
    return float(right.mean()), float(loss.mean())


def judged(logits: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each clip (N,) is classified correctly, and its log loss."""
    true = softmax(logits.astype(np.float64))[np.arange(len(classes)), classes]
    return (logits.argmax(1) == classes).astype(float), -np.log(true.clip(2e-9))


@contextmanager
def ruled(search: Search, rule: Rule, contest: type[Contest]) -> Iterator[None]:
    """Let a search weigh layers by a rule."""

    def weights(contests: Contests, table: FeatureTable) -> LayerWeights:
        return rule(search, contests)

    with (
        patch.object(selection, "layer_weights", weights),
        patch.object(selection, "Contest", contest),
    ):
        yield


def variants(
    idea: str, name: str, several: Sequence[str]
) -> Iterator[tuple[str, FeatureTable, Rule, type[Contest]]]:
    """Yield the variants of an idea, the baseline first."""
    source = name.removesuffix(FEW)
    rule = partial(learned_weights.chosen, weighting.SHARPNESS)
    if idea == "time":
        yield "none", table(source, several), rule, Contest
        for statistic in over_time.STATISTICS:
            yield statistic, table(source, several, [statistic]), rule, Contest
        yield "all four", table(source, several, over_time.STATISTICS), rule, Contest
        return
    rules = {"chosen, 0.2": rule, "equal": learned_weights.equal}
    rules |= {f"chosen, {s}": partial(learned_weights.chosen, s) for s in (0.1, 0.3)}
    rules |= {f"learned, {n}": partial(learned_weights.learned, n) for n in PRIORS}
    for what, contest in (("kernel", KernelAlone), ("search", Contest)):
        for text, own in rules.items():
            yield f"{what}: {text}", table(source, several), own, contest


def figures(own: Answers, base: Answers) -> dict[str, object]:
    """Return accuracy and log loss, and how the loss differs from that of ``base``."""
    right, loss, cluster = own
    row = {"accuracy": round(right.mean(), 4), "log_loss": round(loss.mean(), 4)}
    difference = loss - base[1]
    if not difference.any():  # it is the base, or all choices were the same
        return row | {"difference": 0.0, "low": 0.0, "high": 0.0}
    low, high = metrics.difference_interval(difference, cluster, 0)
    row["difference"] = round(difference.mean(), 4)
    return row | {"low": round(low, 4), "high": round(high, 4)}


def main(*ideas: str) -> None:
    """Measure both ideas, or one, and write results/ideas.csv."""
    beside = Path(__file__).parents[2] / "shared" / "weights"
    os.environ.setdefault("EARMARK_WEIGHTS", str(beside))
    print(describe(), flush=True)
    rows: list[dict[str, object]] = []
    for idea in ideas or RUNS:
        for name, several in RUNS[idea]:
            before: dict[str, Answers] = {}
            for text, features, rule, contest in variants(idea, name, several):
                own = answers(name, features, rule, contest)
                row: dict[str, object] = {"idea": idea, "set": name}
                row |= {"backbones": "+".join(several), "variant": text}
                base = before.setdefault(text.partition(":")[0] if ":" in text else "", own)
                row |= figures(own, base)
                rows.append(row)
                print(*row.values(), flush=True)
    write("ideas", rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
