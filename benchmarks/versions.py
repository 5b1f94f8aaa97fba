"""Measure accuracy with version 1 and version 2 of the backbones.

    python benchmarks/versions.py         # both versions -> results/numbers.csv
    python benchmarks/versions.py knees   # other floors in speech-embedding -> results/knees.csv
    python benchmarks/versions.py quiet   # quieter recordings -> results/quiet.csv

Everything else is equal: clips, folds, heads, seed, machine. Recordings: EARMARK_TEST_DATA, or
../shared/data beside the checkout.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import earmark
from earmark import Clip, audio
from earmark.audio.source import SampleSource
from earmark.backbones import registry
from earmark.backbones.networks import speech_embedding
from earmark.training.training import Training
from machine import describe, shared_data, write

SETS = {"ESC-10": ("esc10", {"fold": "fold"}), "FSDD": ("fsdd", {"group": "speaker"})}
RUNS = (
    ("ESC-10", "speech-embedding"),
    ("FSDD", "speech-embedding"),
    ("ESC-10", "yamnet"),
    ("ESC-10", "efficientat-mn04"),
    ("FSDD", "efficientat-mn04"),
)
KNEES = ((-4.0, 1.0), (3.0, 0.0), (13.0, 0.0), (23.0, 0.0), (23.0, 0.25), (23.0, 0.5), (33.0, 0.5))
TESTED = {"ESC-10": ("5",), "FSDD": ("lucas", "theo")}  # folds; speakers
GAINS_DB = ((0, 0), (0, -20), (0, -40), (-40, -40))  # of training, of the test
RATE_HZ = 16_000


def main(what: str = "numbers") -> None:
    """Measure one of the three and write its results."""
    beside = Path(__file__).parents[2] / "shared" / "weights"
    os.environ.setdefault("EARMARK_WEIGHTS", str(beside))
    print(describe(), flush=True)
    {"numbers": numbers, "knees": knees, "quiet": quiet}[what]()


def numbers() -> None:
    """Train on every set with both versions."""
    rows = []
    for name, backbone in RUNS:
        for version in (1, 2):
            use(backbone, version)
            row = {"set": name, "backbone": backbone, "version": version}
            rows.append(row | figures(read(name), backbone))
            print(*rows[-1].values(), flush=True)
            write("numbers", rows)


def knees() -> None:
    """Train on both sets with other knees in `speech-embedding`; a leak of 0 makes a floor."""
    rows = []
    for name in SETS:
        for speech_embedding.KNEE_DB, speech_embedding.LEAK in KNEES:
            row = {"set": name, "knee_db": speech_embedding.KNEE_DB, "leak": speech_embedding.LEAK}
            rows.append(row | figures(read(name), "speech-embedding"))
            print(*rows[-1].values(), flush=True)
            write("knees", rows)


def quiet() -> None:
    """Train and test `speech-embedding` on quieter recordings; FSDD on every fourth clip."""
    rows = []
    for name, tested in TESTED.items():
        clips = read(name).clips[:: 4 if name == "FSDD" else 1]
        unit = next(iter(SETS[name][1]))
        train = [clip for clip in clips if getattr(clip, unit) not in tested]
        test = [clip for clip in clips if getattr(clip, unit) in tested]
        for version in (1, 2):
            use("speech-embedding", version)
            for trained_db, tested_db in GAINS_DB:
                data = earmark.Dataset(tuple(quieter(train, trained_db)), name)
                classifier = training_of(data, "speech-embedding").classifier
                scores = [
                    classifier.predict_proba(clip.recording.samples, rate_hz=RATE_HZ)
                    for clip in quieter(test, tested_db)
                ]
                truth = np.array([classifier.labels.index(clip.label) for clip in test])
                row = {"set": name, "version": version, "trained_db": trained_db}
                row |= {"tested_db": tested_db, "clips": len(test)}
                rows.append(row | accuracy_and_loss(np.concatenate(scores), truth))
                print(*rows[-1].values(), flush=True)
                write("quiet", rows)


def quieter(clips: Iterable[Clip], gain_db: float) -> Iterator[Clip]:
    """Yield clips with their samples times a gain, rounded to 16 bits."""
    for clip in clips:
        x = audio.load(clip.source, RATE_HZ) * 10 ** (gain_db / 20)
        x = (np.round(x * 32_768) / 32_768).astype(np.float32)
        yield replace(clip, recording=SampleSource.of(x, RATE_HZ, clip.source.name))


def read(name: str) -> earmark.Dataset:
    where, columns = SETS[name]
    return earmark.Dataset.read(shared_data(where) / "meta.csv", **columns)


def use(backbone: str, version: int) -> None:
    """Let training use a given version of a backbone instead of the newest."""
    info, cls = registry.entry(backbone)
    if version != info.version:
        info = replace(info, version=version)
    registry._registry[backbone] = (info, cls)


def training_of(data: earmark.Dataset, backbone: str) -> Training:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EARMARK_CACHE"] = folder
        return earmark.train(data, backbone=backbone, compare=False)


def figures(data: earmark.Dataset, backbone: str) -> dict[str, Any]:
    """Return the figures of the nested estimate."""
    start = time.process_time()
    training = training_of(data, backbone)
    estimate, tested = training.estimate, training.out_of_fold
    low, high = estimate.interval
    return accuracy_and_loss(tested.scores, tested.truth) | {
        "ci95_low": round(low, 4),
        "ci95_high": round(high, 4),
        "macro_f1": round(estimate.macro_f1, 4),
        "ece": round(estimate.calibration_error, 4),
        "cpu_s": round(time.process_time() - start, 1),
    }


def accuracy_and_loss(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    loss = -np.log(scores[np.arange(len(truth)), truth].clip(1e-7))
    return {
        "accuracy": round(float((scores.argmax(1) == truth).mean()), 4),
        "log_loss": round(float(loss.mean()), 4),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
