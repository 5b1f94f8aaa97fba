"""Values of the sections about the run: what was done, findings, warnings, versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

import earmark
from earmark.report.contents import ReportContents

MOST_LISTED = 20  # warnings, skipped recordings, findings; summary.json lists all
MOST_CASES = 3  # cases of a finding
MOST_LABELS = 12  # classes named in the facts


def done(summary: Mapping[str, Any], contents: ReportContents) -> dict[str, object]:
    """Return the facts of the run: clips, classes, backbones, layers and times."""
    seconds = summary.get("seconds", {})
    return {
        "n": len(contents.clips),
        "exact": None
        if contents.several is None
        else float((contents.several.onehot == contents.several.chosen).all(1).mean()),
        "is_tuned": (contents.fine_tuning or {}).get("use") == "fine-tuned",
        "skipped": len(summary.get("skipped", ())),
        "labels": contents.labels[:MOST_LABELS],
        "backbones": summary.get("backbone", ()),
        "layers": _layers(summary.get("layers", ())),
        "seconds": sorted(seconds.items(), key=lambda step: step[0] == "total"),
    }


def _layers(layers: Sequence[str]) -> str:
    return ", ".join(layers) if len(layers) <= 3 else f"{len(layers)}: {layers[0]} to {layers[-1]}"


def findings(contents: ReportContents) -> dict[str, object] | None:
    """Return the findings about the data, with some cases of each."""
    if not contents.findings:
        return None
    return {
        "findings": [
            {
                "kind": finding["kind"],
                "severity": finding.get("severity", ""),
                "clips": len(finding.get("clips", ())),
                "advice": finding.get("advice") or finding.get("text", ""),
                "cases": [item["detail"] for item in finding.get("items", ())],
            }
            for finding in contents.findings[:MOST_LISTED]
        ],
        "most": MOST_CASES,
    }


def warnings(
    summary: Mapping[str, Any], findings: Sequence[Mapping[str, Any]] = ()
) -> dict[str, object] | None:
    """Return the warnings that are not findings, and the recordings that could not be read."""
    found = {f"{f['kind']}: {f['text']}" for f in findings if "text" in f}
    lines = [line for line in summary.get("warnings", ()) if line not in found]
    skipped = [f"{s['path']}: {s['reason']}" for s in summary.get("skipped", ())]
    if not lines and not skipped:
        return None
    return {"warnings": lines, "skipped": skipped, "most": MOST_LISTED}


def versions() -> dict[str, object]:
    """Return the versions of Python and the packages."""
    return {
        "versions": {
            "earmark": earmark.__version__,
            "Python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        }
    }
