"""Measure the steps after the scores with many clips and classes: seconds and memory of each.

    python benchmarks/scale_estimate.py [STEP...] [--only CLIPSxCLASSES]

Everything is generated. Each clip is a recording of its own, except for one in a hundred; about
three in four predictions are correct. Each step of each size runs in a process of its own. CPU
seconds include all its threads; memory is without that of its inputs. Each STEP is the name of a
step to run; the results of the others are kept.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from earmark.data.clip import Clip
from machine import RESULTS, describe, write

SIZES = ((10_000, 10), (100_000, 10), (105_000, 35), (1_000_000, 10), (20_000, 500), (3_000, 1_000))
MOST_GB = 12  # a step that needs more is stopped
PACKAGES = ("sklearn.model_selection", "sklearn.metrics", "scipy.stats", "torch", "jinja2")
DIMENSIONS = 64  # of the embeddings to hash
SHARED = 100  # of so many clips, one is another stretch of the recording before it


@dataclass(frozen=True)
class Case:
    """Labelled clips and out-of-fold predictions, all generated."""

    clips: int
    classes: int

    @cached_property
    def truth(self) -> np.ndarray:
        return np.random.default_rng(0).permutation(np.arange(self.clips) % self.classes)

    @cached_property
    def labels(self) -> list[str]:
        return sorted(f"class {k}" for k in range(self.classes))

    @cached_property
    def items(self) -> tuple[Clip, ...]:
        """Clips; most are whole recordings."""
        names, folder = [self.labels[k] for k in self.truth.tolist()], Path("/recordings")
        items = [
            Clip(folder / f"{k // 1000:04d}" / f"recording_{k:07d}.wav", name)
            for k, name in enumerate(names)
        ]
        for k in range(SHARED, self.clips, SHARED):
            items[k] = replace(items[k], path=items[k - 1].path, start=1.0, end=2.0)
        return tuple(items)

    @cached_property
    def groups(self) -> tuple[Clip, ...]:
        """The same clips, twenty of them by each speaker."""
        speakers = np.random.default_rng(5).integers(0, self.clips // 20, self.clips).tolist()
        pairs = zip(self.items, speakers, strict=True)
        return tuple(replace(item, group=f"speaker {g}") for item, g in pairs)

    def logits(self, seed: int = 1, skill: float = 4.0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        logits = rng.standard_normal((self.clips, self.classes), np.float32)
        logits[np.arange(self.clips), self.truth] += skill
        return logits

    def onehot(self) -> np.ndarray:
        onehot = np.zeros((self.clips, self.classes), bool)
        onehot[np.arange(self.clips), self.truth] = True
        return onehot

    def tested(self, seed: int = 1, skill: float = 4.0):
        """Return out-of-fold predictions."""
        from earmark.classifier.calibration import softmax
        from earmark.training.estimation import OutOfFold

        logits = self.logits(seed, skill)
        cluster = np.arange(self.clips)
        cluster[SHARED::SHARED] -= 1
        cluster = np.unique(cluster, return_inverse=True)[1]
        rows = np.arange(self.clips)
        parts = (self.truth, rows % 5, logits, softmax(logits), cluster, self.onehot(), rows)
        return OutOfFold(self.items, *parts)


Work = Callable[[], object]


def splits(case: Case) -> Work:
    """Make stratified folds of whole recordings."""
    from earmark.data.splits import make_scheme

    clips, content = case.items, np.arange(case.clips)
    folds = min(5, case.clips // case.classes)
    return lambda: make_scheme(clips, content, folds=folds)


def split_groups(case: Case) -> Work:
    """Make folds of whole speakers."""
    from earmark.data.splits import make_scheme

    clips, content = case.groups, np.arange(case.clips)
    return lambda: make_scheme(clips, content)


def calibration(case: Case) -> Work:
    """Fit the temperature, and make scores."""
    from earmark.classifier.calibration import Calibration
    from earmark.classifier.targets import Targets

    targets = Targets(case.onehot().astype(float), np.ones(case.clips))
    logits = case.logits()
    return lambda: Calibration.fit(logits, targets).scores(logits)


def estimate(case: Case) -> Work:
    """Make the estimate."""
    from earmark.training import estimation

    tested, folds = case.tested(), tuple("12345")
    return lambda: estimation.estimate(
        tested, case.labels, 0, "folds", folds=folds, chosen=tested.chosen()
    )


def verdict(case: Case) -> Work:
    """Compare the predictions with those of two baselines."""
    from earmark.training import estimation
    from earmark.training.baselines import Baseline
    from earmark.training.verdict import verdict_of

    tested = case.tested(skill=3.0)
    made = estimation.estimate(tested, case.labels, 0, "", folds=(), chosen=tested.chosen())
    rivals = [Baseline(name, case.tested(n, n / 2)) for n, name in ((2, "one"), (3, "two"))]
    return lambda: verdict_of(made, tested, tested.chosen(), rivals)


def several(case: Case) -> Work:
    """Make the estimate and the verdict of clips with two classes each."""
    from earmark.classifier.calibration import sigmoid
    from earmark.training import estimation
    from earmark.training.verdict import verdict_of

    one = case.tested()
    onehot = one.onehot.copy()
    other = np.random.default_rng(4).integers(0, case.classes, case.clips)
    onehot[np.arange(case.clips), other] = True
    logits = one.logits + 4 * onehot - 6
    tested = replace(one, logits=logits, scores=sigmoid(logits), onehot=onehot, is_single=False)

    def work() -> object:
        chosen, folds = tested.chosen(), tuple("12345")
        made = estimation.estimate(tested, case.labels, 0, "", folds=folds, chosen=chosen)
        return verdict_of(made, tested, chosen)

    return work


def rule(case: Case) -> Work:
    """Fit the decision rule."""
    from earmark.classifier.decision import DecisionRule

    tested = case.tested()
    return lambda: DecisionRule.fit(tested.scores, tested.onehot, True)


def known(case: Case) -> Work:
    """Hash the training clips, write the hashes as in a classifier's file, and read them."""
    from earmark.classifier.known import KnownClips

    rng = np.random.default_rng(6)
    features = rng.standard_normal((case.clips, DIMENSIONS), np.float32)
    items = case.items

    def work() -> object:
        rows = ((clip, b"%032d" % k, features[k]) for k, clip in enumerate(items))
        made = KnownClips.of(rows, bytes(16))
        return KnownClips.from_json(made.to_json())

    return work


def findings(case: Case) -> Work:
    """Compute the doctor's findings of a training; no two clips are copies."""
    from earmark.data.dataset import Dataset
    from earmark.data.doctor.examination import before_training

    data = Dataset(case.items, "made up")
    rng = np.random.default_rng(7)
    embeddings = rng.standard_normal((case.clips, 256), np.float32)
    content, fold = np.arange(case.clips), np.arange(case.clips) % 5
    return lambda: before_training(data, data.clips, content, embeddings, fold, 1e9)


def manifest(case: Case) -> Work:
    """Read a manifest with ten stretches per recording."""
    from earmark.data.dataset import Dataset

    folder = Path(tempfile.mkdtemp())
    with (folder / "data.csv").open("w") as file:
        file.write("path,label,start,end,group\n")
        for k, truth in enumerate(case.truth.tolist()):
            recording = f"{k // 10 // 1000:04d}/recording_{k // 10:06d}.wav"
            if k % 10 == 0:
                (folder / recording).parent.mkdir(exist_ok=True)
                (folder / recording).touch()
            file.write(f"{recording},{case.labels[truth]},{k % 10},{k % 10 + 1},site {k // 1000}\n")
    return lambda: Dataset.read(folder / "data.csv").labels


def page(case: Case) -> Work:
    """Write the report of an estimate."""
    from earmark.report import ReportContents, write_report
    from earmark.training import estimation

    tested = case.tested()
    made = estimation.estimate(tested, case.labels, 0, "", folds=(), chosen=tested.chosen())
    figures = {"model": "m", "clips": case.clips, **made.to_dict()}
    xy = np.random.default_rng(0).standard_normal((case.clips, 2))
    labels, folder = tuple(case.labels), Path(tempfile.mkdtemp())

    def work() -> object:
        answers = tested.answers(labels)
        contents = ReportContents("c", labels, tested.clips, tested.truth, tested.scores, xy)
        path = write_report(folder, figures, answers, contents)
        print(f"    {path.name}: {path.stat().st_size / 1e6:.2f} MB")
        return path

    return work


STEPS: tuple[Callable[[Case], Work], ...] = (
    manifest,
    splits,
    split_groups,
    calibration,
    estimate,
    verdict,
    several,
    rule,
    known,
    findings,
    page,
)


def peak_mb() -> float:
    """Return the highest resident memory since :func:`forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure(step: Callable[[Case], Work], case: Case) -> None:
    """Prepare and run a step; print CPU seconds and megabytes as the last line."""
    work = step(case)
    for name in PACKAGES:
        importlib.import_module(name)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_GB << 30, MOST_GB << 30))
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before, start = peak_mb(), time.process_time()
    try:
        work()
    except MemoryError:
        print(f"nan {MOST_GB * 1024}")
        return
    print(f"{time.process_time() - start:.2f} {peak_mb() - before:.0f}")


def main() -> None:
    """Measure the named steps, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [step.__name__ for step in STEPS]
    parser.add_argument("steps", nargs="*", default=names)
    parser.add_argument("--only", nargs="*", default=[f"{n}x{k}" for n, k in SIZES])
    parser.add_argument("--here", action="store_true", help="measure in this process")
    asked = parser.parse_args()
    sizes = [tuple(map(int, size.split("x"))) for size in asked.only]
    if asked.here:
        measure(next(s for s in STEPS if s.__name__ == asked.steps[0]), Case(*sizes[0]))
        return
    print(describe())
    path, rows = RESULTS / "scale_estimate.csv", {}
    if path.exists():
        with path.open() as file:
            for row in csv.DictReader(file):
                del row["machine"]
                rows[row["step"], int(row["clips"]), int(row["classes"])] = row
    for name in asked.steps:
        for clips, classes in sizes:
            cpu, megabytes = measured(name, clips, classes)
            print(f"{name}, {clips} clips x {classes} classes: {cpu} s, {megabytes} MB", flush=True)
            row = {"step": name, "clips": clips, "classes": classes}
            rows[name, clips, classes] = {**row, "cpu_s": cpu, "more_mb": megabytes}
    order = {name: n for n, name in enumerate(names)}
    write(
        "scale_estimate",
        [rows[key] for key in sorted(rows, key=lambda k: (order[k[0]], k[2], k[1]))],
    )


def measured(name: str, clips: int, classes: int) -> tuple[str, str]:
    """Run a step in a process of its own; return CPU seconds and megabytes."""
    import subprocess

    command = [sys.executable, __file__, name, "--only", f"{clips}x{classes}", "--here"]
    env = {"OMP_WAIT_POLICY": "passive", **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        return "nan", done.stderr.strip().splitlines()[-1][:60] if done.stderr else "killed"
    *lines, last = done.stdout.splitlines()
    for line in lines:
        print(line)
    cpu, megabytes = last.split()
    return cpu, megabytes


if __name__ == "__main__":
    main()
