"""Checkpoints: whole or absent, with a digest, in folders and in object storage."""

import itertools
import warnings

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.errors import EarmarkError, EarmarkWarning
from earmark.training.finetuning import places
from earmark.training.finetuning.checkpoints import Checkpoints
from tuning import ended, run_of, speech_embedding, write_clips

pytest.importorskip("accelerate", reason="the extra earmark[finetune] is not installed")

STATE = {"epoch": 3, "loss": None, "name": "Zoë"}
TENSORS = {
    "a": torch.arange(12.0).reshape(3, 4).T,
    "step.0": torch.tensor(7.0),
    "n": torch.arange(3),
    "none": torch.zeros(0, 2),
}


@pytest.fixture(params=["folder", "s3"])
def where(request, tmp_path):
    if request.param == "folder":
        yield str(tmp_path / "shared" / "states")
        return
    pytest.importorskip("moto", reason="the extra dev is not installed")
    pytest.importorskip("s3fs", reason="the extra remote is not installed")
    from object_store import open_store

    with open_store() as store:
        request.node.store = store
        yield store.uri("runs/here")


def equal(loaded) -> bool:
    assert loaded is not None
    state, tensors = loaded
    assert state["epoch"] == 3 and np.isnan(state["loss"]) and state["name"] == "Zoë"
    return set(tensors) == set(TENSORS) and all(
        torch.equal(tensors[k], TENSORS[k]) for k in TENSORS
    )


def test_what_is_saved_is_loaded_in_another_process_until_it_is_dropped(where, monkeypatch):
    monkeypatch.setattr(places, "PART_BYTES", 200)  # the object comes in several parts
    writer, other = Checkpoints("k", True, where), Checkpoints("k", True, where)
    assert other.load("fold a/b: ../1") is None
    writer.check()
    for name in ("fold a/b: ../1", "all clips"):
        writer.save(name, STATE, TENSORS)
        assert equal(other.load(name))
    assert Checkpoints("another", True, where).load("all clips") is None
    Checkpoints("k", False, where).save("not the first process", STATE, TENSORS)
    assert other.load("not the first process") is None
    writer.drop("all clips")
    assert other.load("all clips") is None and equal(other.load("fold a/b: ../1"))
    writer.forget()
    assert other.load("fold a/b: ../1") is None


@settings(max_examples=30)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_bit_that_changed_is_noticed(place, bit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("states")
    states = Checkpoints("k", True, folder)
    states.save("run", STATE, TENSORS)
    (path,) = (folder / "k").iterdir()
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EarmarkWarning)
        loaded = states.load("run")
    assert loaded is None or equal(loaded)  # equal: a space in the header became another one


def test_a_state_of_another_run_under_the_name_is_not_taken(tmp_path):
    states = Checkpoints("k", True, tmp_path)
    (tmp_path / "k").mkdir()
    for about in ({"earmark": "{}"}, {"earmark": "{}", "sha256": "0"}, {"sha256": "0"}):
        safetensors.torch.save_file({}, tmp_path / "k" / "run.safetensors", about)
        with pytest.warns(EarmarkWarning, match=r"'run' in .* is damaged, so its run starts anew"):
            assert states.load("run") is None


def test_what_is_too_large_or_no_file_is_not_read(where, request, monkeypatch, tmp_path):
    states = Checkpoints("k", True, where)
    states.save("run", STATE, TENSORS)
    monkeypatch.setattr(places, "MAX_BYTES", 100)
    if where.startswith("s3"):
        with pytest.raises(EarmarkError, match=r"'run' in s3://.* \(it has more than 100 bytes\)"):
            states.load("run")
        return
    assert states.load("run") is None
    monkeypatch.undo()
    (path,) = (tmp_path / "shared" / "states" / "k").iterdir()
    path.unlink()
    path.mkdir()
    assert states.load("run") is None


@pytest.fixture
def store():
    pytest.importorskip("moto", reason="the extra dev is not installed")
    pytest.importorskip("s3fs", reason="the extra remote is not installed")
    from object_store import open_store

    with open_store() as opened:
        yield opened


KEY = "runs/k/run.safetensors"


@pytest.mark.slow
def test_errors_of_a_store_that_pass_are_repeated(store):
    states = Checkpoints("k", True, store.uri("runs"))
    store.faults[f"PUT {KEY}"] = iter([503, 500])
    states.save("run", STATE, TENSORS)
    store.faults[KEY] = iter([503, "cut"])
    assert equal(states.load("run"))


def test_a_store_that_fails_stops_no_training_and_is_tried_again(store):
    states = Checkpoints("fails", True, store.uri("runs"))
    store.faults["PUT runs/fails/run.safetensors"] = itertools.repeat(403)
    with pytest.warns(
        EarmarkWarning, match=r"written to s3://recordings/runs/fails \(access is denied"
    ):
        states.save("run", STATE, TENSORS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        states.save("run", STATE, TENSORS)  # said once
        assert states.load("run") is None
        del store.faults["PUT runs/fails/run.safetensors"]
        states.save("run", STATE, TENSORS)
    assert equal(states.load("run"))


def test_a_state_that_may_be_there_is_not_taken_for_absent(store):
    states = Checkpoints("k", True, store.uri("runs"))
    states.save("run", STATE, TENSORS)
    store.faults[KEY] = itertools.repeat(403)
    with pytest.raises(EarmarkError, match=r"the checkpoint 'run' in s3://.* cannot be read \(acc"):
        states.load("run")


def test_a_place_that_cannot_be_written_is_told_before_any_work(store, tmp_path, monkeypatch):
    store.faults["PUT runs/k/check.safetensors"] = itertools.repeat(403)
    with pytest.raises(EarmarkError, match=r"cannot be written to s3://.*Name another place with"):
        Checkpoints("k", True, store.uri("runs")).check()
    with pytest.raises(EarmarkError, match=r"cannot be written to s3://none/k \(does not exist"):
        Checkpoints("k", True, "s3://none").check()
    (tmp_path / "file").touch()
    with pytest.raises(EarmarkError, match=r"cannot be written to .*file/k \((Not a dir|File ex)"):
        Checkpoints("k", True, tmp_path / "file").check()
    with pytest.raises(
        EarmarkError, match=r"written to https://a\.b/c, a web server\. Name a fold"
    ):
        Checkpoints("k", True, "https://a.b/c")
    monkeypatch.setenv("EARMARK_OFFLINE", "1")
    with pytest.raises(EarmarkError, match=r"EARMARK_OFFLINE=1 forbids checkpoints in s3://b/c"):
        Checkpoints("k", True, "s3://b/c")


def test_the_next_state_waits_ten_times_as_long_as_writing_took(tmp_path, monkeypatch):
    states = Checkpoints("k", True, tmp_path)
    clock = itertools.count(0, 7)
    monkeypatch.setattr(
        "earmark.training.finetuning.checkpoints.time.monotonic", lambda: next(clock)
    )
    states.save("run", STATE, TENSORS)
    assert states.pause_s == 70


@pytest.mark.slow
def test_a_run_resumes_from_object_storage(store, tmp_path):
    class Stop:
        left = 3

        def advance(self, *_: object) -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    clips, network = write_clips(tmp_path / "clips", 10), speech_embedding("conv2", "conv4")
    whole = ended(run_of(clips, network, judged=4))
    with pytest.raises(KeyboardInterrupt):
        run_of(clips, network, judged=4, observer=Stop(), where=store.uri("runs")).go()
    again = run_of(clips, network, judged=4, where=store.uri("runs"))
    done = ended(again)
    assert store.bodies()
    for name, value in whole.weights[0].items():
        assert np.array_equal(done.weights[0][name], value)
