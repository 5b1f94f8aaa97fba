"""The results: a row for each seed."""

from __future__ import annotations

import csv
from collections import Counter

from .modules import ROOT
from .mutant import rows_of
from .trying import TOO_SLOW

SUMMARY = ROOT / "benchmarks" / "results" / "mutants.csv"


def summarise(seed: int, n_mutants: int, counts: Counter[str], minutes: float) -> None:
    """Write the row of a seed, in place of the row of an earlier run."""
    judged = counts["killed"] + counts["survived"]
    row = {
        "seed": str(seed),
        "mutants": n_mutants,
        "killed": counts["killed"],
        "too_slow": counts[TOO_SLOW],
        "survived": counts["survived"],
        "equivalent": counts["equivalent"],
        "killed_share": f"{counts['killed'] / max(1, judged):.3f}",
        "minutes": f"{minutes:.0f}",
    }
    others = rows_of(SUMMARY) if SUMMARY.exists() else []
    rows = [row, *(other for other in others if other["seed"] != row["seed"])]
    with SUMMARY.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(row), lineterminator="\n")
        table.writeheader()
        table.writerows(sorted(rows, key=lambda row: int(row["seed"])))
