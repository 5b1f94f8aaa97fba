"""Does the mlp head pay? The same search with it and without it, on the same folds.

    python benchmarks/heads.py

Selection, fit and estimate are those of `earmark train`, once with the mlp among the heads that
compete and once without. `competed` and `chosen` count the models of all outer folds. Differences
are with the mlp less without it, over all tested clips; p and interval are those of
`earmark compare`. Seconds are those of the processor, on all cores, for selection and estimate.

Small sets are drawn from ESC-10, five times each, and keep its folds. Clips with two labels are
sums of two clips of ESC-10, of the same fold and of different classes. Recordings and weights are
found as in benchmarks/accuracy.py.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

import earmark
from earmark.classifier.calibration import as_scores
from earmark.data import example
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.training import metrics
from earmark.training.estimation import OutOfFold
from earmark.training.solution import solve
from machine import describe, shared_data, write

NETWORKS = ("speech-embedding", "yamnet", "efficientat-mn04")
READINGS = (("logmel", "auto"), *itertools.product(NETWORKS, ("auto", "last")))
SINGLE = ("prototype", "linear", "logistic")  # heads for clips with one class
SEVERAL = ("linear",)
DRAWS = 5
RATE_HZ = 44_100


class Answers(NamedTuple):
    """How well each tested clip (N,) is answered, its log loss, and what was chosen.

    Clips of one cluster (a group, else a recording) are not independent; draws share them.
    """

    quality: np.ndarray
    loss: np.ndarray
    cluster: np.ndarray
    competed: int
    chosen: int
    models: int
    seconds: float


def answers(training: earmark.Training, kinds: Sequence[str]) -> Answers:
    """Choose among the heads ``kinds`` and estimate, on the embeddings and folds of a training."""
    search, data = replace(training.search, kinds=kinds, _choices={}), training.embedded
    start = time.process_time()
    solution = solve(search, data.clips, data.content, data.scheme)
    seconds = time.process_time() - start
    tested = OutOfFold.gather(solution, data.clips, search.targets, data.scheme)
    choices = [plan.choice for plan in solution.plans]
    return Answers(
        tested.quality,
        log_loss(tested),
        np.array([clip.group or str(clip.path) for clip in tested.clips]),
        sum(any(c.head == "mlp" for c in choice.loss) for choice in choices),
        sum(choice.best.head == "mlp" for choice in choices),
        len(choices),
        seconds,
    )


def log_loss(tested: OutOfFold) -> np.ndarray:
    """Return the log loss of each clip (N,); of several classes, its mean over them."""
    scores = np.clip(as_scores(tested.logits, tested.is_single), 1e-7, 1 - 1e-7)
    yes = -(tested.onehot * np.log(scores))
    if tested.is_single:
        return np.asarray(yes.sum(1))
    return np.asarray((yes - (1 - tested.onehot) * np.log(1 - scores)).mean(1))


def compare(
    name: str, sets: Sequence[Dataset], backbone: str, layers: str, store: earmark.Store
) -> dict[str, object]:
    """Return one row: the estimates over all ``sets`` together, with and without the mlp."""
    pairs = []
    for data in sets:
        training = earmark.train(data, backbone=backbone, layers=layers, store=store, compare=False)
        kinds = SINGLE if data.is_single else SEVERAL
        pairs.append((answers(training, kinds), answers(training, (*kinds, "mlp"))))
    without, beside = zip(*pairs, strict=True)
    cluster = np.concatenate([a.cluster for a in without])
    row: dict[str, object] = {
        "set": name,
        "clips": sum(map(len, sets)),
        "backbone": backbone,
        "from_layers": layers,
        "models": sum(a.models for a in beside),
        "mlp_competed": sum(a.competed for a in beside),
        "mlp_chosen": sum(a.chosen for a in beside),
    }
    for figure in ("quality", "loss"):
        old, new = (np.concatenate([getattr(a, figure) for a in x]) for x in (without, beside))
        low, high = metrics.difference_interval(new - old, cluster, 0)
        row |= {
            f"{figure}_without": round(float(old.mean()), 4),
            f"{figure}_with": round(float(new.mean()), 4),
            f"{figure}_low": round(low, 4),
            f"{figure}_high": round(high, 4),
            f"{figure}_p": round(metrics.paired_p(new - old, cluster, 0), 4),
        }
    row["core_s_without"] = round(sum(a.seconds for a in without), 2)
    row["core_s_with"] = round(sum(a.seconds for a in beside), 2)
    return row


def few(data: Dataset, size: int, draw: int) -> Dataset:
    """Return ``size`` clips of each class, drawn by a seed."""
    rng = np.random.default_rng((size, draw))
    rows = [
        rng.permutation([row for row, clip in enumerate(data.clips) if clip.label == label])[:size]
        for label in data.labels
    ]
    return replace(data, clips=tuple(data.clips[row] for row in np.sort(np.concatenate(rows))))


def sums(data: Dataset, folder: Path) -> Dataset:
    """Return clips with two labels: each clip and another one of its fold, added."""
    rng, clips = np.random.default_rng(0), []
    for row, clip in enumerate(data.clips):
        others = [c for c in data.clips if c.fold == clip.fold and c.label != clip.label]
        other = others[rng.integers(len(others))]
        path = folder / f"{row}.wav"
        x, y = waveform(clip), waveform(other)
        least = min(len(x), len(y))
        soundfile.write(path, x[:least] + y[:least], RATE_HZ)
        clips.append(Clip(path, f"{clip.label};{other.label}", fold=clip.fold))
    return Dataset(tuple(clips), "sums of ESC-10", separator=";")


def waveform(clip: Clip) -> np.ndarray:
    """Return a clip's samples (N,) mono, with a peak of 0.5."""
    samples, rate_hz = soundfile.read(clip.path, always_2d=True)
    assert rate_hz == RATE_HZ, clip.path
    mono = samples.mean(1)
    return np.asarray(mono * 0.5 / max(np.abs(mono).max(), 1e-9))


def cases(folder: Path) -> Iterator[tuple[str, list[Dataset]]]:
    """Yield each set by name; several draws of a small one."""
    esc10 = Dataset.read(shared_data("esc10") / "meta.csv", fold="fold")
    yield "example", [Dataset.read(example())]
    yield "ESC-10", [esc10]
    for size in (8, 16):
        yield f"ESC-10, {size} a class", [few(esc10, size, draw) for draw in range(DRAWS)]
    yield "ESC-10, two labels", [sums(esc10, folder)]
    fsdd = shared_data("fsdd") / "meta.csv"
    yield "FSDD", [Dataset.read(fsdd, group="speaker")]
    yield "FSDD, who speaks", [Dataset.read(fsdd, label="speaker")]
    yield "finch", [Dataset.read(shared_data("finch") / "meta.csv", group="recording")]


def main() -> None:
    """Measure and write results/heads.csv."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    beside = Path(__file__).parents[2] / "shared" / "weights"
    os.environ.setdefault("EARMARK_WEIGHTS", str(beside))
    print(describe())
    rows = []
    with tempfile.TemporaryDirectory() as folder, earmark.Store() as store:
        for name, sets in cases(Path(folder)):
            for backbone, layers in READINGS:
                rows.append(compare(name, sets, backbone, layers, store))
                print(rows[-1], flush=True)
    write("heads", rows)


if __name__ == "__main__":
    main()
