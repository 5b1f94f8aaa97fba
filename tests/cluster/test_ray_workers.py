"""Training by workers of the real Ray: the classifier of one machine, also if a worker dies."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

import earmark as library
from command_line import earmark
from earmark.errors import EarmarkError
from earmark.training import runs
from shared_data import shared_data

pytest.importorskip("ray", reason="Ray is not installed; pip install '.[ray]'")
pytest.importorskip("pyarrow")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workers():
    from earmark.apps.cluster.ray_workers import ray_workers

    with ray_workers("") as executor:
        yield executor


def die(path: str) -> int:
    """End this process, unless the file is there that says that one has ended."""
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def fail(message: str) -> None:
    raise EarmarkError(message)


def test_it_trains_the_same_classifier(workers, tmp_path, monkeypatch):
    manifest = shared_data("fsdd") / "meta.csv"
    earmark("embed", manifest, "-o", tmp_path / "parts", "--backbone", "speech-embedding")
    monkeypatch.setattr(runs, "RUN", 300)
    alone = library.train(tmp_path / "parts", compare=False)
    together = library.train(tmp_path / "parts", compare=False, executor=workers)
    assert np.abs(alone.solution.logits - together.solution.logits).max() < 1e-6


def test_a_call_is_repeated_if_its_worker_dies_and_errors_come_back(workers, tmp_path):
    died = tmp_path / "died"
    assert workers.submit(die, str(died)).result() != os.getpid() and died.exists()
    assert [*workers.map(abs, [-1, 2])] == [1, 2]
    with pytest.raises(EarmarkError, match=r"^a part is missing\.$"):
        workers.submit(fail, "a part is missing.").result()
    with pytest.raises(EarmarkError, match=r"a worker of Ray failed: TypeError: bad operand"):
        workers.submit(abs, "a").result()
    with pytest.raises(EarmarkError, match="a worker of Ray died 4 times"):
        workers.submit(os._exit, 3).result()
