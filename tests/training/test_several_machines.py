"""Fine-tuning by several processes and machines that share only checkpoints and recordings."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from earmark.classifier.classifier import Classifier
from machines import Machine, connected_machines
from tuning import distance, write_classes

pytest.importorskip("accelerate", reason="the extra earmark[finetune] is not installed")
pytestmark = pytest.mark.slow

SCRIPT = str(Path(__file__).parents[1] / "helpers" / "tuning_machine.py")
TUNE = "--backbone=speech-embedding --layers=conv2 --head=linear --folds=3 --no-compare --seed=0"
TUNE += " --finetune=full --recipe=epochs=2,batch=4,patience=0 --engine=torch"
STEPS = 18  # three rehearsals, three folds, all clips; some have one step an epoch
LIMIT_S = 300


class Shared:
    """What all machines see: recordings, the folder of checkpoints, and the classifier."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder, data
        self.model, self.notes = folder / "m.earmark", folder / "notes"
        self.notes.mkdir()

    def command(self, *torchrun: str) -> list[str]:
        words = ["train", str(self.data), "-o", str(self.model), *TUNE.split()]
        words += ["--checkpoints", str(self.folder / "states")]
        launch = ["-m", "torch.distributed.run", *torchrun] if torchrun else []
        return [sys.executable, *launch, SCRIPT, *words]

    def environment(self, death: str = "") -> dict[str, str]:
        return {
            "EARMARK_TEST_STEPS": str(self.notes),
            "EARMARK_TEST_DEATH": death,
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }

    def run(self, *torchrun: str, death: str = "") -> subprocess.CompletedProcess:
        """Run on this machine, with a cache of its own."""
        cache = {"EARMARK_CACHE": str(self.folder / f"cache{len(os.listdir(self.folder))}")}
        with subprocess.Popen(
            self.command(*torchrun),
            env=os.environ | self.environment(death) | cache,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                _, text = process.communicate(timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, "", text)

    def steps(self, rank: int = 0) -> int:
        """Return how many steps a process has taken, those after a restart included."""
        return len((self.notes / f"rank{rank}").read_text().splitlines())

    @property
    def has_died(self) -> bool:
        return (self.notes / "died").exists()


def standalone(count: int, restarts: int = 0) -> list[str]:
    return ["--standalone", f"--nproc-per-node={count}", f"--max-restarts={restarts}"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_classes(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def expected(data, tmp_path_factory) -> dict[int, bytes]:
    """The classifiers of runs that nobody disturbs, by their number of processes."""
    files = {}
    for count in (1, 2, 4):
        shared = Shared(tmp_path_factory.mktemp("whole"), data)
        done = shared.run(*standalone(count))
        assert done.returncode == 0, done.stderr[-2000:]
        assert [shared.steps(rank) for rank in range(count)] == [STEPS] * count
        assert not list((shared.folder / "states").iterdir())  # the classifier is saved
        files[count] = shared.model.read_bytes()
    return files


@pytest.fixture
def shared(data, tmp_path) -> Shared:
    return Shared(tmp_path, data)


def test_several_processes_learn_what_one_does(expected, tmp_path):
    models = {}
    for count, content in expected.items():
        (tmp_path / "m.earmark").write_bytes(content)
        models[count] = Classifier.load(tmp_path / "m.earmark")
    for count in (2, 4):
        for name, value in models[1].tuned[0].items():
            assert distance(models[count].tuned[0][name], value) < 1e-4


@pytest.mark.parametrize(("count", "death"), [(2, "0 9"), (2, "1 5"), (4, "3 12")])
def test_torchrun_restarts_after_a_kill_and_the_bytes_are_the_same(shared, expected, count, death):
    done = shared.run(*standalone(count, restarts=2), death=death)
    assert done.returncode == 0, done.stderr[-2000:]
    assert shared.has_died and shared.model.read_bytes() == expected[count]
    assert all(shared.steps(rank) <= STEPS + 1 for rank in range(count))  # it went on


def test_another_number_of_processes_resumes(shared, expected, tmp_path):
    done = shared.run(*standalone(4), death="2 8")
    assert done.returncode != 0 and shared.has_died and not shared.model.exists()
    assert "another process of this fine-tuning has ended" in done.stderr
    before = shared.steps()
    done = shared.run(*standalone(3))
    assert done.returncode == 0, done.stderr[-2000:]
    assert shared.steps() - before <= STEPS - 7
    resumed = Classifier.load(shared.model)
    shared.model.write_bytes(expected[4])
    for name, value in Classifier.load(shared.model).tuned[0].items():
        assert distance(resumed.tuned[0][name], value) < 1e-4


def launched(machine: Machine, first: Machine, shared: Shared, death: str = "", **options):
    """Start the processes of one of two machines, which meet at the first one."""
    given = {"nnodes": 2, "nproc-per-node": 1, "max-restarts": 0} | options
    words = [f"--{name}={value}" for name, value in given.items()]
    words += ["--rdzv-backend=c10d", f"--rdzv-endpoint={first.address}:29531", "--rdzv-id=tune"]
    words += [f"--local-addr={machine.address}"]
    words += [f"--rdzv-conf=is_host={int(machine is first)}"]  # its name does not lead to it
    return machine.start(shared.command(*words), shared.environment(death))


def ended(processes: list[subprocess.Popen]) -> list[tuple[int, str]]:
    return [(p.returncode, text) for p in processes for text in [p.communicate(None, LIMIT_S)[1]]]


def trained_by_two(shared: Shared, each: int, death: str = "") -> bytes:
    """Return the classifier of two machines with some processes ``each``."""
    with connected_machines(2, shared.folder) as (first, second):
        options = {"nproc-per-node": each, "max-restarts": 2}
        both = [launched(m, first, shared, death, **options) for m in (first, second)]
        results = ended(both)
    assert [code for code, _ in results] == [0, 0], results
    return shared.model.read_bytes()


@pytest.fixture(scope="module")
def expected_of_two(data, tmp_path_factory) -> dict[int, bytes]:
    """The classifiers of two machines that nobody disturbs, by the processes of each."""
    return {
        each: trained_by_two(Shared(tmp_path_factory.mktemp("two"), data), each) for each in (1, 2)
    }


@pytest.mark.parametrize(("each", "death"), [(1, "0 9"), (1, "1 5"), (2, "3 12")])
def test_machines_that_share_only_checkpoints_go_on_after_a_kill(
    shared, expected, expected_of_two, each, death
):
    assert trained_by_two(shared, each, death) == expected_of_two[each] and shared.has_died
    assert expected_of_two[2] == expected[4]  # four processes on one machine
    assert all(shared.steps(rank) <= STEPS + 1 for rank in range(2 * each))


def test_a_machine_without_power_is_replaced_by_none(shared, expected, tmp_path):
    with connected_machines(2, tmp_path) as (first, second):
        both = [launched(m, first, shared) for m in (first, second)]
        while not (shared.notes / "rank1").exists() or shared.steps(1) < 6:
            assert all(process.poll() is None for process in both), ended(both)
            time.sleep(0.05)
        first.lose_power()
        assert all(code != 0 for code, _ in ended(both))
        before = shared.steps()
        assert not shared.model.exists()
        alone = launched(second, second, shared, nnodes=1)
        assert ended([alone])[0][0] == 0
    assert shared.steps() - before <= STEPS - 5
    resumed = Classifier.load(shared.model)
    shared.model.write_bytes(expected[1])
    for name, value in Classifier.load(shared.model).tuned[0].items():
        assert np.isfinite(value).all() and distance(resumed.tuned[0][name], value) < 1e-4


def test_a_machine_with_other_recordings_is_refused(shared, data, tmp_path):
    with connected_machines(2, tmp_path) as (first, second):
        other = Shared.__new__(Shared)
        vars(other).update(vars(shared))
        other.data = tmp_path / "other"
        for path in sorted(data.rglob("*.wav")):
            place = other.data / path.relative_to(data)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes()[: -400 if path.name == "03.wav" else None])
        both = [launched(first, first, shared), launched(second, first, other)]
        results = ended(both)
    assert all(code != 0 for code, _ in results)
    assert any("has other recordings than the first process" in text for _, text in results)
