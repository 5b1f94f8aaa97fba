"""Weight files: where they are looked for, how they are fetched, and what is refused.

The publisher is an HTTP server on the loopback that can be told to misbehave.
"""

import hashlib
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from earmark.backbones import tensors, weights
from earmark.backbones.tensors import assign, load_state_dict
from earmark.backbones.weights import WeightFile, fetch, find
from earmark.errors import BackboneError
from earmark.system import download
from publisher import CONTENT, Publisher

SHA256 = hashlib.sha256(CONTENT).hexdigest()
WRONG = bytes(len(CONTENT))


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a cache of its own, no other folders, and no pauses."""
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("EARMARK_WEIGHTS", raising=False)
    monkeypatch.delenv("EARMARK_OFFLINE", raising=False)
    monkeypatch.setattr(download, "BACK_OFF_S", 0.001)
    return tmp_path / "cache" / "weights"


@pytest.fixture
def file(publisher: Publisher) -> WeightFile:
    return WeightFile("net.pth", publisher.url, SHA256, len(CONTENT))


def refusal(*arguments: object, function: object = fetch, **named: object) -> str:
    assert callable(function)
    with pytest.raises(BackboneError) as raised:
        function(*arguments, **named)
    return str(raised.value)


# Fetching


def test_a_download_is_whole_and_leaves_nothing_else(
    publisher: Publisher, file: WeightFile, cache: Path
) -> None:
    told: list[tuple[int, int]] = []
    path = fetch(file, progress=lambda done, total: told.append((done, total)))
    assert path == cache / "net.pth"
    assert path.read_bytes() == CONTENT
    assert sorted(os.listdir(cache)) == ["net.pth", "net.pth.lock"]
    assert told == sorted(told)
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(file) == path
    assert publisher.ranges == [None]  # one request for both calls


def test_a_cut_line_is_taken_up_where_it_broke(publisher: Publisher, file: WeightFile) -> None:
    publisher.script = [100_000, 50_000]
    assert fetch(file).read_bytes() == CONTENT
    assert publisher.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_the_next_call_goes_on_where_the_last_gave_up(
    publisher: Publisher, file: WeightFile, cache: Path
) -> None:
    publisher.script = [100_000, 503, 503, 503]
    said = refusal(file)
    assert said == (
        f"net.pth (0.5 MB) could not be downloaded from {publisher.url}: HTTP 503 Service"
        " Unavailable. Run the same command again to continue after the first 0.1 MB, or put"
        f" net.pth into {cache}, or into any folder and name that folder in EARMARK_WEIGHTS."
    )
    assert find(file) is None
    assert fetch(file).read_bytes() == CONTENT
    assert publisher.ranges == [None, *["bytes=100000-"] * 4]


def test_a_line_that_breaks_often_is_used_as_long_as_it_brings_something(
    publisher: Publisher, file: WeightFile
) -> None:
    publisher.script = [20_000] * 10
    assert fetch(file).read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(publisher: Publisher, file: WeightFile) -> None:
    publisher.script = [100_000, "whole"]
    assert fetch(file).read_bytes() == CONTENT


def test_a_complete_part_needs_no_more_bytes(
    publisher: Publisher, file: WeightFile, cache: Path
) -> None:
    cache.mkdir(parents=True)
    (cache / "net.pth.part").write_bytes(CONTENT)
    assert fetch(file).read_bytes() == CONTENT
    assert publisher.ranges == [f"bytes={len(CONTENT)}-"]


def test_wrong_bytes_are_thrown_away(publisher: Publisher, file: WeightFile, cache: Path) -> None:
    publisher.content = WRONG
    said = refusal(file)
    assert said.startswith(
        f"the download from {publisher.url} is not the published net.pth:"
        f" it has SHA-256 {hashlib.sha256(WRONG).hexdigest()} and 512,000 bytes instead of {SHA256}"
        " and about 512,000 bytes. Run the same command again, or get a correct copy and put"
        " net.pth"
    )
    assert os.listdir(cache) == ["net.pth.lock"]
    publisher.content = CONTENT
    assert fetch(file).read_bytes() == CONTENT


def test_an_endless_answer_is_cut_off(publisher: Publisher, file: WeightFile) -> None:
    publisher.script = ["endless"]
    assert "is not the published net.pth" in refusal(file)


def test_a_file_that_is_not_there_is_asked_for_once(publisher: Publisher, file: WeightFile) -> None:
    publisher.script = [404]
    assert f"could not be downloaded from {publisher.url}: HTTP 404 Not Found." in refusal(file)
    assert len(publisher.ranges) == 1


def test_a_busy_server_is_asked_again(publisher: Publisher, file: WeightFile) -> None:
    publisher.script = [503, 429, 500]
    assert fetch(file).read_bytes() == CONTENT


def test_a_silent_server_is_given_up(
    publisher: Publisher, file: WeightFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "SILENCE_S", 0.1)
    publisher.script = ["silent"] * 10
    assert "timed out" in refusal(file)
    assert len(publisher.ranges) == download.TRIES


def test_no_network() -> None:
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/net.pth"
        said = refusal(WeightFile("net.pth", url, SHA256, 288_567_937))
    assert said.startswith(
        f"net.pth (288.6 MB) could not be downloaded from {url}: Connection refus"
    )
    assert "EARMARK_WEIGHTS" in said


@pytest.mark.parametrize("value", ["1", "true"])
def test_offline_forbids_the_download_and_nothing_else(
    publisher: Publisher,
    file: WeightFile,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
) -> None:
    monkeypatch.setenv("EARMARK_OFFLINE", value)
    assert refusal(file) == (
        f"net.pth (0.5 MB) is not on this machine and EARMARK_OFFLINE=1 forbids downloading it from"
        f" {publisher.url}. Put net.pth into {cache}, or into any folder and name that folder in"
        " EARMARK_WEIGHTS."
    )
    assert not publisher.ranges
    cache.mkdir(parents=True)
    (cache / "net.pth").write_bytes(CONTENT)
    assert fetch(file) == cache / "net.pth"
    (cache / "net.pth").unlink()
    monkeypatch.setenv("EARMARK_OFFLINE", "0")
    assert fetch(file).read_bytes() == CONTENT


def test_of_many_at_once_one_downloads(publisher: Publisher, file: WeightFile) -> None:
    publisher.delay_s = 0.2
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.append(fetch(file).read_bytes())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [CONTENT] * 4
    assert len(publisher.ranges) == 1


def test_a_lock_ends_with_the_process_that_holds_it(
    publisher: Publisher, file: WeightFile, cache: Path
) -> None:
    cache.mkdir(parents=True)
    code = (
        "import sys, time; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(cache / "net.pth.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        waiting = threading.Thread(target=fetch, args=(file,))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        assert not publisher.ranges
        holder.kill()
        waiting.join(10)
    assert (cache / "net.pth").read_bytes() == CONTENT


def test_a_folder_to_carry_serves_offline(
    publisher: Publisher, file: WeightFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch(file, to=tmp_path / "stick")  # from the publisher
    assert first == tmp_path / "stick" / "net.pth"
    assert os.listdir(first.parent) == ["net.pth"]
    monkeypatch.setenv("EARMARK_WEIGHTS", str(first.parent))
    monkeypatch.setenv("EARMARK_OFFLINE", "1")
    assert fetch(file) == first
    second = fetch(file, to=tmp_path / "other")  # from the first
    assert second == tmp_path / "other" / "net.pth"
    assert second.read_bytes() == CONTENT
    assert fetch(file, to=tmp_path / "other") == second
    assert len(publisher.ranges) == 1


def test_a_folder_that_cannot_be_written(file: WeightFile, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("a file")
    said = refusal(file, to=tmp_path / "plain" / "folder")
    assert said.startswith(f"net.pth (0.5 MB) cannot be written to {tmp_path / 'plain'}")
    assert said.endswith("Free some space there, or name another folder.")


def test_a_cache_that_cannot_be_written(
    file: WeightFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is at hand is copied all the same; else the cache is named, and not the target."""
    (tmp_path / "plain").write_text("a file")
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "plain" / "cache"))
    said = refusal(file, to=tmp_path / "to")
    assert said.startswith(
        f"net.pth (0.5 MB) cannot be written to {tmp_path / 'plain' / 'cache' / 'weights'}: Not a"
    )
    assert said.endswith("name another folder in EARMARK_CACHE.")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "net.pth").write_bytes(CONTENT)
    monkeypatch.setenv("EARMARK_WEIGHTS", str(tmp_path / "mine"))
    assert fetch(file, to=tmp_path / "to").read_bytes() == CONTENT


# Finding


def test_the_order_of_places(
    file: WeightFile, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(file) is None
    cached = cache / "net.pth"
    below = tmp_path / "b" / "nets [old]" / "net.pth"
    direct = tmp_path / "a" / "net.pth"
    monkeypatch.setenv(
        "EARMARK_WEIGHTS", os.pathsep.join(["", *map(str, (tmp_path / "a", below.parents[1]))])
    )
    for place in (cached, below, direct):
        place.parent.mkdir(parents=True)
        place.write_bytes(CONTENT)
        assert find(file) == place
    named = tmp_path / "renamed.pth"
    named.write_bytes(CONTENT)
    assert find(file, named) == named
    assert find(file, str(below.parent)) == below
    assert refusal(file, tmp_path / "absent", function=find).startswith(
        f"no file {tmp_path / 'absent'}. Give the path of net.pth (0.5 MB), published at http://"
    )


def test_a_wrong_copy_is_refused_wherever_it_lies(
    publisher: Publisher, file: WeightFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(CONTENT[:1_000])
    monkeypatch.setenv("EARMARK_WEIGHTS", str(tmp_path))
    said = [refusal(file), refusal(file, function=find), refusal(file, path, function=find)]
    assert len(set(said)) == 1
    assert said[0].startswith(f"{path} is not the published net.pth: it has SHA-256 ")
    assert "and 1,000 bytes instead of" in said[0]
    assert "Delete it and fetch it again" in said[0]
    assert not publisher.ranges


@pytest.mark.parametrize("known", [SHA256[:8], ""])
def test_a_hash_that_is_not_published_is_noted_and_then_wanted(
    publisher: Publisher, cache: Path, tmp_path: Path, known: str
) -> None:
    file = WeightFile("net.pth", publisher.url, known, len(CONTENT))
    fetch(file)
    assert (cache / "net.pth.sha256").read_text().strip() == SHA256
    other = tmp_path / "other.pth"
    other.write_bytes(WRONG)
    said = refusal(file, other, function=find)
    assert f"instead of {SHA256} (noted at its first use in {cache / 'net.pth.sha256'})" in said


def test_a_published_beginning_must_fit(publisher: Publisher, cache: Path) -> None:
    assert "instead of 10086976 and" in refusal(
        WeightFile("net.pth", publisher.url, "10086976", len(CONTENT))
    )
    assert not (cache / "net.pth.sha256").exists()


def test_the_hash_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one")
    assert weights.sha256(path) == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"three")
    assert weights.sha256(path) == hashlib.sha256(b"three").hexdigest()


# Loading

STATE = {"0.weight": torch.arange(6.0).view(2, 3), "0.bias": torch.ones(2)}


@pytest.mark.parametrize("kind", ["zip", "before 1.6", "safetensors"])
def test_state_dicts_load(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("x.safetensors" if kind == "safetensors" else "x.pth")
    if kind == "safetensors":
        safetensors.torch.save_file(STATE, path)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=kind == "zip")
    state = load_state_dict(path)
    net = nn.Sequential(nn.Linear(3, 2))
    assign(net, state, path)
    assert torch.equal(net[0].weight, STATE["0.weight"])
    assert net[0].weight.data_ptr() == state["0.weight"].data_ptr()  # not a copy


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("sprung",)


def test_code_in_a_file_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps({"x": Trap()}, protocol=2))
    saved = tmp_path / "saved.pth"
    torch.save({"x": Trap()}, saved)
    for path in (bare, saved):
        said = refusal(path, function=load_state_dict)
        assert said.startswith(f"{path} is not a plain state dict: it is damaged, or holds Python")
    assert not Path("sprung").exists()


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("keep", [0, 10, 1_000])
def test_damaged_files_are_refused(tmp_path: Path, name: str, keep: int) -> None:
    path = tmp_path / name
    state = {"x": torch.zeros(1_000)}
    torch.save(state, path) if name == "x.pth" else safetensors.torch.save_file(state, path)
    path.write_bytes(path.read_bytes()[:keep])
    assert str(path) in refusal(path, function=load_state_dict)


def test_other_contents_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.pth"
    for value, kind in (([torch.ones(1)], "list"), ({"model": STATE}, "dict")):
        torch.save(value, path)
        said = refusal(path, function=load_state_dict)
        assert said.startswith(f"{path} holds {kind} and not a plain state dict of tensors.")
    monkeypatch.setattr(tensors, "MAX_BYTES", 100)
    assert "at most 100 are loaded" in refusal(path, function=load_state_dict)


@pytest.mark.parametrize(
    ("state", "difference"),
    [
        (
            {"0.weight": torch.ones(2, 3)},
            "0.bias is missing there and of shape (2,) in this backbone",
        ),
        (
            {**STATE, "0.bias": torch.ones(3)},
            "0.bias is of shape (3,) there and of shape (2,) in this backbone",
        ),
        (
            {**STATE, "1.bias": torch.ones(3)},
            "1.bias is of shape (3,) there and missing in this backbone",
        ),
    ],
)
def test_another_network_is_refused(state: dict[str, torch.Tensor], difference: str) -> None:
    said = refusal(nn.Sequential(nn.Linear(3, 2)), state, "x.pth", function=assign)
    assert said == (
        f"x.pth holds the weights of another network: {difference}."
        " Give the file that belongs to this backbone."
    )
