"""Measure how many wrong labels the review finds, and how much accuracy they cost.

    python benchmarks/review.py [found | known | cost | dropped]

found: 5 % of ESC-10's labels are changed at random; the share of them in the first 8 % of the list.
known: the places of FSDD's four known label errors in the list of 3,000.
cost: 20 % of ESC-10's labels are changed; accuracy of out-of-fold predictions by the true labels.
dropped: the same, but models are trained without the suspects of a review of their training part.

Without an argument, all are measured. With one, only its rows in results/review.csv are replaced.
Test folds are not used in training. Recordings: EARMARK_TEST_DATA, or ../shared/data beside the
checkout.
"""

from __future__ import annotations

import csv
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import earmark
from earmark.data.dataset import Dataset
from earmark.labelling.reviewing import review
from machine import RESULTS, describe, shared_data, write

BACKBONES = ("speech-embedding", "efficientat-mn04")
SEEDS = range(5)
DROPPED_SEEDS = range(1)
KNOWN = ("6_yweweler_14", "6_yweweler_35", "6_yweweler_36", "6_nicolas_8")


def esc10() -> Dataset:
    """Return ESC-10 with its official folds."""
    return Dataset.read(shared_data("esc10") / "meta.csv", fold="fold")


def changed(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, np.ndarray]:
    """Give a share of the clips another random label; return a mask (N,) of these clips."""
    rng = np.random.default_rng(seed)
    is_changed = np.zeros(len(dataset), bool)
    is_changed[rng.permutation(len(dataset))[: round(share * len(dataset))]] = True
    clips = list(dataset.clips)
    for row in np.flatnonzero(is_changed):
        others = [label for label in dataset.labels if label != clips[row].label]
        clips[row] = replace(clips[row], label=str(rng.choice(others)))
    return replace(dataset, clips=tuple(clips)), is_changed


def found(store: earmark.Store) -> list[dict[str, object]]:
    """Measure the share of changed labels in the first 8 % of the list."""
    rows, clean = [], esc10()
    for backbone in BACKBONES:
        for seed in SEEDS:
            data, is_changed = changed(clean, 0.05, seed)
            top = round(0.08 * len(data))
            listed = review(data, backbone=backbone, top=top, store=store).suspects
            planted = {clip.path for clip, bad in zip(data, is_changed, strict=True) if bad}
            true = {clip.path: clip.label for clip in clean}
            hits = [s for s in listed if s.clip.path in planted]
            right = sum(s.suggested == true[s.clip.path] for s in hits)
            row = {"what": "found", "data": "ESC-10", "backbone": backbone, "case": f"seed {seed}"}
            share = len(hits) / len(planted)
            rows.append({**row, "value": share, "note": f"{right} suggestions right"})
    return rows


def known(store: earmark.Store) -> list[dict[str, object]]:
    """Return the places of FSDD's known label errors in the list."""
    data = Dataset.read(shared_data("fsdd") / "meta.csv", group="speaker")
    listed = review(data, backbone="speech-embedding", top=len(data), store=store).suspects
    place = {s.clip.path.stem: (n, s.suggested) for n, s in enumerate(listed, 1)}
    row = {"what": "known", "data": "FSDD", "backbone": "speech-embedding"}
    return [
        {**row, "case": n, "value": place[n][0], "note": f"suggested {place[n][1]}"} for n in KNOWN
    ]


def accuracy(training: earmark.Training, true: dict[Path, str]) -> float:
    """Return the accuracy of out-of-fold predictions by the true labels."""
    answers = training.out_of_fold.answers(training.classifier.labels)
    return float(np.mean([answer == true[Path(path)] for path, _, answer in answers]))


def cost(store: earmark.Store) -> list[dict[str, object]]:
    """Measure the accuracy by true labels with none and with 20 % of the labels changed."""
    rows, clean = [], esc10()
    true = {clip.path: str(clip.label) for clip in clean}
    for backbone in BACKBONES:
        cases = {"clean": clean, **{f"seed {s}": changed(clean, 0.2, s)[0] for s in SEEDS}}
        for case, data in cases.items():
            training = earmark.train(data, backbone=backbone, store=store, compare=False)
            row = {"what": "cost", "data": "ESC-10", "backbone": backbone, "case": case}
            rows.append({**row, "value": accuracy(training, true), "note": ""})
    return rows


def dropped(store: earmark.Store) -> list[dict[str, object]]:
    """Measure the same after dropping clips with a doubt > 0.9 from each fold's training part."""
    rows, clean = [], esc10()
    true = {clip.path: str(clip.label) for clip in clean}
    for backbone in BACKBONES:
        for seed in DROPPED_SEEDS:
            data, right = changed(clean, 0.2, seed)[0], []
            for fold in sorted({str(clip.fold) for clip in data}):
                part = tuple(clip for clip in data if clip.fold != fold)
                listed = review(
                    replace(data, clips=part), backbone=backbone, top=len(part), store=store
                ).suspects
                out = {s.clip.path for s in listed if s.suggested and s.doubt > 0.9}
                kept = tuple(
                    replace(clip, split="test" if clip.fold == fold else "train")
                    for clip in data
                    if clip.fold == fold or clip.path not in out
                )
                training = earmark.train(
                    replace(data, clips=kept), backbone=backbone, store=store, compare=False
                )
                right.append(accuracy(training, true))
            row = {"what": "dropped", "data": "ESC-10", "backbone": backbone}
            case = f"seed {seed}"
            rows.append({**row, "case": case, "value": float(np.mean(right)), "note": ""})
    return rows


def main() -> None:
    """Measure the named parts, or all, and write results/review.csv."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    beside = Path(__file__).parents[2] / "shared" / "weights"
    os.environ.setdefault("EARMARK_WEIGHTS", str(beside))
    print(describe())
    wanted = sys.argv[1:] or ["found", "known", "cost", "dropped"]
    rows: list[dict[str, object]] = []
    results = RESULTS / "review.csv"
    if results.exists():
        with results.open(newline="") as file:
            old = [row for row in csv.DictReader(file) if row["what"] not in wanted]
        rows += [{k: v for k, v in row.items() if k != "machine"} for row in old]
    with earmark.Store() as store:
        for what in wanted:
            rows += {"found": found, "known": known, "cost": cost, "dropped": dropped}[what](store)
    for row in rows:
        if isinstance(row["value"], float):
            row["value"] = round(row["value"], 4)
        print(", ".join(str(value) for value in row.values()))
    write("review", rows)


if __name__ == "__main__":
    main()
