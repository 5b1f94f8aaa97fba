"""Training by workers: sums over runs of clips, whoever computes them."""

import os
import pickle
import shutil
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import earmark as library
from command_line import earmark
from dying import die_once, prepare
from earmark.apps.cluster import local_workers
from earmark.apps.cluster.local_workers import LocalWorkers
from earmark.classifier.targets import Targets
from earmark.data.clip import Clip
from earmark.embeddings import shares
from earmark.embeddings.table import EmbeddingTable
from earmark.errors import DataError, EarmarkError
from earmark.system.executors import Task, perform
from earmark.training import fitting, runs, screening
from earmark.training.executors import LEAST_AHEAD, Workers
from earmark.training.moments import FoldMoments
from made_parts import make_parts
from shared_data import shared_data

pytest.importorskip("pyarrow")
RATE_HZ, CLIP_S = 16_000, 0.25
CLIPS = 400


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Path:
    """A folder of parts with more clips than features."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    t = np.arange(round(CLIP_S * RATE_HZ)) / RATE_HZ
    labels = ("high", "low", "middle")
    clips = []
    for k in range(CLIPS):
        hz = (2_400, 400, 900)[k % 3] * rng.uniform(0.6, 1.5)
        wave = 0.05 * np.sin(2 * np.pi * hz * t) + 0.05 * rng.normal(size=len(t))
        clips.append(Clip(folder / f"{k:03}.wav", label=labels[k % 3]))
        soundfile.write(clips[-1].path, wave, RATE_HZ)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shares, "PART_CLIPS", 64)
        make_parts(folder / "parts", clips, library.load_backbone("logmel"), folder)
    return folder / "parts"


@pytest.fixture
def by_sums(monkeypatch):
    """Let few clips be trained on as many are: from sums, in runs of 24."""
    monkeypatch.setattr(screening, "SCREENED_BY", 60)
    monkeypatch.setattr(screening, "SCREENED_BY_OF_CLASS", 1)
    monkeypatch.setattr(fitting, "LONG", 100)
    monkeypatch.setattr(runs, "RUN", 24)
    monkeypatch.setattr(runs, "GROUP_BYTES", 2 * 4 * 128**2)  # some runs have two folds


class Listed:
    """An executor that only has ``map``, as a list of calls; it counts what it has at a time."""

    def __init__(self):
        self.calls, self.most = 0, 0

    def map(self, function, items):
        items = [pickle.loads(pickle.dumps(item)) for item in items]
        self.calls, self.most = self.calls + len(items), max(self.most, len(items))
        return [pickle.loads(pickle.dumps(function(item))) for item in items]


def trained(parts, executor=None):
    return library.train(parts, head="linear", layers="last", compare=False, executor=executor)


def of(training) -> bytes:
    head = training.classifier.head.tensors
    return (
        b"".join(head[name].tobytes() for name in sorted(head)) + training.solution.logits.tobytes()
    )


@pytest.mark.slow
def test_workers_give_the_classifier_of_one_machine_also_if_they_end_in_another_order(
    parts, by_sums
):
    alone, listed = of(trained(parts)), Listed()
    assert of(trained(parts, listed)) == alone and listed.calls > 50
    with ThreadPoolExecutor(3) as pool:
        assert of(trained(parts, pool)) == alone

    class Backwards(Listed):
        def map(self, function, items):
            for result in [function(item) for item in reversed(list(items))][::-1]:
                if isinstance(result, FoldMoments):
                    self.summed = result
                yield result

    backwards = Backwards()
    assert of(trained(parts, backwards)) == alone and backwards.summed.count[0] > 0


@settings(max_examples=20)
@given(
    cuts=st.lists(st.integers(1, 299), max_size=8, unique=True),
    n_folds=st.integers(2, 4),
    seed=st.integers(0, 99),
    balanced=st.booleans(),
)
def test_the_sum_of_runs_is_the_sum_of_all(cuts, n_folds, seed, balanced):
    rng = np.random.default_rng(seed)
    x = rng.normal(2, 3, (300, 12)).astype(np.float32)
    targets = Targets.single(rng.integers(0, 4, 300), 4, balanced)
    fold = rng.integers(0, n_folds, 300)
    shift = x[:20].mean(0)
    whole, merged = (FoldMoments(shift, n_folds, 4) for _ in range(2))
    for number in range(n_folds):
        own = np.flatnonzero(fold == number)
        whole.add(number, x[own], targets.rows(own))
        for run in np.split(own, np.searchsorted(own, sorted(cuts))):
            part = FoldMoments(shift, 1, 4)
            part.add(0, x[run], targets.rows(run))
            merged.merge([number], part)
    for name, sums in vars(whole).items():
        np.testing.assert_allclose(vars(merged)[name], sums, rtol=1e-5, atol=1e-2, err_msg=name)
    assert np.array_equal(merged.count, np.bincount(fold, minlength=n_folds))


def test_a_table_that_is_sent_has_only_its_parts_and_layers(parts):
    table = EmbeddingTable(parts)
    rows = np.array([5, 70, 3, 399, 71])
    (layer,) = table.layers
    for sent in (table.only(rows), table.only(rows).reading([layer]), table.reading([layer])):
        received = pickle.loads(pickle.dumps(sent))
        index = np.arange(len(sent))
        assert np.array_equal(received[index], (table if len(sent) > 5 else table.only(rows))[:])
    assert [part.part for part in pickle.loads(pickle.dumps(table.only(rows))).parts] == [0, 1, 6]


def test_layers_that_are_not_read_are_zero(tones, tmp_path):
    clips = [Clip(path) for path in sorted(tones.rglob("*.wav"))]
    make_parts(tmp_path / "p", clips, library.load_backbone("speech-embedding"), tones)
    table = EmbeddingTable(tmp_path / "p")
    names = [*table.layers][3:1:-1]
    some, whole, first = table.reading(names)[:], table[:], 0
    for name, width in table.layers.items():
        columns = slice(first, first + width)
        expected = whole[:, columns] if name in names else np.zeros_like(whole[:, columns])
        assert np.array_equal(some[:, columns], expected)
        first += width


def test_a_part_that_a_worker_sees_differently_stops_the_training(parts, by_sums, tmp_path):
    other = shutil.copytree(parts, tmp_path / "other")

    class Moved(Listed):
        def map(self, function, items):
            path = sorted(other.glob("*.parquet"))[3]
            path.write_bytes(path.read_bytes()[::-1])
            return super().map(function, items)

    with pytest.raises(DataError, match=r"part-000003.*is missing or has changed, as .* sees it"):
        trained(other, Moved())


def test_another_version_is_refused():
    with pytest.raises(EarmarkError, match=r"has earmark .*, but this run has 0\.0\.1\. Install"):
        perform(Task(len, "ab", "0.0.1"))


@pytest.mark.parametrize(("memory", "most"), [(0, LEAST_AHEAD), (50, 5), (10**9, 20)])
def test_few_results_wait_if_memory_is_short(memory, most):
    class Counted:
        flying = most = 0

        def map(self, function, items):
            raise AssertionError

        def submit(self, function, item):
            self.flying += 1
            self.most = max(self.most, self.flying)
            future = Future()
            future.set_result(function(item))
            original = future.result

            def result():
                self.flying -= 1
                return original()

            future.result = result
            return future

    counted, listed = Counted(), Listed()
    for executor in (counted, listed):
        items = [b"x" * k for k in range(20)]
        assert [*Workers(executor, (), memory).map(len, items, 10)] == [*range(20)]
        assert executor.most == most


def test_data_that_are_no_parts_are_refused(tones, parts, tmp_path, monkeypatch):
    with pytest.raises(EarmarkError, match="workers of an executor read from a folder of parts"):
        library.train(tones, executor=Listed())
    for words, message in (
        ((tones, "--on", "local"), "--on needs a folder of parts, and"),
        ((parts, "--on", "spark"), "--on is 'spark'. Give local or ray"),
        (
            (parts, "--on", "local", "--finetune", "full"),
            "cannot be used with --finetune or --detector. Leave one out.",
        ),
    ):
        done = earmark("train", *words, "-o", tmp_path / "m", expect=2)
        assert message in done.stderr


def test_the_call_of_a_dead_worker_is_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(local_workers, "_prepare", prepare)
    with LocalWorkers(2) as workers:
        calls = [workers.submit(abs, -9), *(workers.submit(abs, -k) for k in range(3))]
        calls[0].cancel()
        calls.append(workers.submit(die_once, tmp_path / "marker"))
        assert [call.result() for call in calls[1:4]] == [0, 1, 2]
        assert calls[4].result() != os.getpid() and workers.deaths == 1
        assert not workers.calls


def test_workers_that_always_die_stop_the_run(monkeypatch):
    monkeypatch.setattr(local_workers, "_prepare", prepare)
    with LocalWorkers(1) as workers:
        with pytest.raises(EarmarkError, match=r"worker processes died 4 times\. The system may"):
            list(workers.map(os._exit, [3]))
        assert workers.deaths == local_workers.MOST_DEATHS + 1


PARENT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from earmark.apps.cluster.local_workers import LocalWorkers
import dying

if __name__ == "__main__":
    with LocalWorkers(1) as workers:
        print(workers.submit(dying.number, None).result(), flush=True)
        time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="it finds a process in /proc")
def test_workers_end_with_the_process_that_started_them():
    helpers = Path(__file__).parents[1] / "helpers"
    command = [sys.executable, "-c", PARENT, str(helpers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        words = Path("/proc", parent.stdout.readline().strip(), "cmdline")
        assert b"spawn" in words.read_bytes()
        parent.kill()
    deadline = time.monotonic() + 60
    while words.exists() and words.read_bytes():  # one that has ended has no words
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_real_recordings_give_the_same_bytes_with_any_number_of_workers(tmp_path, monkeypatch):
    manifest = shared_data("fsdd") / "meta.csv"
    earmark("embed", manifest, "-o", tmp_path / "parts", "--backbone", "speech-embedding")
    monkeypatch.setattr(runs, "RUN", 300)
    trainings = [library.train(tmp_path / "parts", compare=False)]
    for count in (1, 4):
        with LocalWorkers(count) as workers:
            trainings.append(library.train(tmp_path / "parts", compare=False, executor=workers))
    files = []
    for training in trainings:
        training.classifier.save(tmp_path / "one.earmark")
        files.append((tmp_path / "one.earmark").read_bytes())
    assert files[1] == files[2]
    alone, four = (trainings[k].solution.logits for k in (0, 2))
    assert np.abs(alone - four).max() < 1e-6
