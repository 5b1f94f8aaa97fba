"""Every test gets a store of its own and no network; published weights come from beside us."""

import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if not os.environ.get("EARMARK_TEST_GPU"):  # for backbones/test_gpu.py; other tests need a CPU
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["EARMARK_OFFLINE"] = os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("EARMARK_WEIGHTS", str(Path(__file__).parents[2] / "shared" / "weights"))

import hypothesis
import numpy as np
import pytest
import soundfile

# How long an example takes is up to the machine and its other work.
hypothesis.settings.register_profile("earmark", deadline=None)
hypothesis.settings.load_profile("earmark")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def tones(tmp_path):
    """A folder of two classes, six half-second tones each, that any backbone can tell apart."""
    rng = np.random.default_rng(0)
    for label, hz in (("high", 1_800), ("low", 240)):
        (tmp_path / "tones" / label).mkdir(parents=True)
        for k in range(6):
            t = np.arange(8_000) / 16_000
            x = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.02 * k) * t) + 0.01 * rng.normal(size=8_000)
            soundfile.write(tmp_path / "tones" / label / f"{k}.wav", x, 16_000)
    return tmp_path / "tones"


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Tiny random checkpoints in Hugging Face format, a folder of each name in `checkpoints`."""
    from checkpoints import write_checkpoints  # skips the test where transformers is absent

    root = tmp_path_factory.mktemp("checkpoints")
    write_checkpoints(root)
    return root


def pytest_terminal_summary(terminalreporter):
    """Print which tests in a browser ran and which were skipped, and why."""
    outcomes = [
        (report.nodeid, outcome, report)
        for outcome in ("passed", "failed", "error", "skipped")
        for report in terminalreporter.stats.get(outcome, [])
        if "/browser/" in getattr(report, "nodeid", "") and report.when in ("call", "setup")
    ]
    if not outcomes:
        return
    terminalreporter.section("tests in a browser")
    for nodeid, outcome, report in sorted(outcomes, key=lambda outcome: outcome[0]):
        why = f": {report.longrepr[2]}" if outcome == "skipped" else ""
        terminalreporter.line(f"{outcome:<7} {nodeid}{why}")
