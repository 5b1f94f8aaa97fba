"""The modules that are mutated, and the folders with their tests."""

from __future__ import annotations

import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC, TESTS, BUILD = ROOT / "src", ROOT / "tests", ROOT / "build" / "mutants"
MODULES = {  # modules that decide or estimate
    "data.splits": ("data", "training"),
    "data.stratification": ("data",),
    "detection.events": ("detection",),
    "detection.rules": ("detection",),
    "detection.runs": ("detection",),
    "classifier.calibration": ("classifier", "training"),
    "classifier.decision": ("classifier", "training"),
    "training.average": ("training",),
    "training.baselines": ("training",),
    "training.candidates": ("training", "classifier"),
    "training.estimation": ("training",),
    "training.event_curves": ("training",),
    "training.event_matching": ("training",),
    "training.event_metrics": ("training",),
    "training.event_tables": ("training",),
    "training.event_tuning": ("training",),
    "training.event_unknown": ("training",),
    "training.finalists": ("training",),
    "training.finetuning.judging": ("training",),
    "training.inner": ("training",),
    "training.judging": ("training",),
    "training.learning_curve": ("training",),
    "training.runs": ("training",),
    "training.scene_windows": ("training",),
    "training.screening": ("training",),
    "training.selection": ("training",),
    "training.unknown": ("training",),
    "training.weighting": ("training",),
    "labelling.corrections": ("labelling",),
    "labelling.reviewing": ("labelling",),
    "labelling.suspects": ("labelling",),
}


def path_of(module: str) -> Path:
    """Return the source file of one of the MODULES."""
    return SRC / "earmark" / f"{module.replace('.', '/')}.py"


def read_source(module: str) -> str:
    """Return the text of a module."""
    with tokenize.open(path_of(module)) as file:
        return file.read()


def test_files() -> list[str]:
    """Return the test files of all MODULES, as pytest names them."""
    rooms = sorted({room for several in MODULES.values() for room in several})
    files = [path for room in rooms for path in sorted((TESTS / room).glob("test_*.py"))]
    return [path.relative_to(ROOT).as_posix() for path in files]


def shared_files() -> list[Path]:
    """Return the files that every test depends on: the MODULES, the helpers, the fixtures."""
    helpers = sorted((TESTS / "helpers").rglob("*.py"))
    return [*map(path_of, MODULES), *helpers, *sorted(TESTS.rglob("conftest.py"))]
