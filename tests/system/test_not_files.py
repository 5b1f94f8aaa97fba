"""What is no regular file is refused before it is opened: a pipe would be waited for forever."""

import functools
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark
from command_line import earmark as command
from earmark.audio.source import FileSource
from earmark.backbones.weights import WeightFile, find
from earmark.classifier.file import read_parts
from earmark.data.clip import Clip
from earmark.data.known import sets
from earmark.embeddings.embedding import embed
from earmark.embeddings.store import Store
from earmark.errors import EarmarkError
from earmark.labelling import corrections
from earmark.system.files import file_sha256, not_a_file, open_file, write_whole

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")

MODEL = Path(__file__).parents[1] / "fixtures" / "0.1" / "single.earmark"
WORDS = {
    "pipe": "is not a file but a pipe",
    "device": "is not a file but a device",
    "socket": "is not a file but a socket",
    "folder": "is not a file but a folder",
    "to_pipe": "is not a file but a pipe",
    "to_device": "is not a file but a device",
    "dangling": "is a link to nowhere, which does not exist",
    "loop": "is a link that leads back to itself",
}
KINDS = [kind for kind in WORDS if kind != "folder"]


def make(path: Path, kind: str) -> Path:
    """Make something at ``path`` that is no file."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket is short
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
        os.chdir(here)
    elif kind == "to_pipe":
        os.mkfifo(path.with_name(f".{path.name}"))
        path.symlink_to(f".{path.name}")
    else:
        targets = {"device": "/dev/zero", "to_device": "/dev/tty", "dangling": "nowhere"}
        path.symlink_to(targets.get(kind, path.name))
    return path


def refusal(function: Callable[..., object], *arguments: object, **named: object) -> str:
    with pytest.raises(EarmarkError) as raised:
        function(*arguments, **named)
    return str(raised.value)


@pytest.mark.parametrize("kind", WORDS)
def test_every_kind_is_named_and_none_is_opened(kind, tmp_path):
    path = make(tmp_path / "x", kind)
    assert not_a_file(path) == WORDS[kind]
    with pytest.raises(OSError, match=WORDS[kind]):
        open_file(path)
    for read in (FileSource(path).open, FileSource(path).loaded, lambda: file_sha256(path)):
        with pytest.raises(Exception, match=r".*"):
            read()


def test_files_and_nothing_are_left_to_who_opens_them(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    (tmp_path / "to_x").symlink_to("x")
    assert not_a_file(tmp_path / "to_x") is not_a_file(tmp_path / "none") is None
    assert "has a name that is not allowed for files (" in not_a_file("a\0b")
    with open_file(tmp_path / "to_x") as file:
        assert file.read() == b"content"


@pytest.mark.parametrize("kind", KINDS)
def test_in_python_it_is_refused_wherever_a_file_is_meant(kind, tmp_path, monkeypatch):
    there, words = functools.partial(make, kind=kind), WORDS[kind]
    recording = there(tmp_path / "x.wav")
    assert words in refusal(earmark.audio.read, recording)
    assert words in embed([Clip(recording)], "logmel").failures[0].reason
    assert words in refusal(corrections.apply, earmark.Dataset.read(_clips(tmp_path)), recording)
    assert words in refusal(read_parts, recording)
    assert words in refusal(find, WeightFile("x", "https://x", "0", 1), recording)
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "cache"))
    assert words in refusal(sets.fetch, "esc50", archive=recording)
    for suffix in (".csv", ".json", ".parquet", ".txt"):
        assert words in refusal(earmark.Dataset.read, there(tmp_path / f"table{suffix}"))
    for suffix in ("", "-wal"):
        there(tmp_path / f"store{suffix}")
        assert words in refusal(Store, tmp_path / "store")
        (tmp_path / f"store{suffix}").unlink()
        (tmp_path / f".store{suffix}").unlink(missing_ok=True)


@pytest.mark.parametrize("kind", WORDS)
def test_in_a_manifest_it_is_listed_and_where_most_are_none_the_row_is_named(kind, tmp_path):
    make(tmp_path / "x.wav", kind)
    table = _clips(tmp_path)
    text = table.read_text()
    table.write_text(text + "x.wav,b\n")
    (failure,) = embed(earmark.Dataset.read(table), "logmel").failures
    assert failure.path == str(tmp_path / "x.wav") and WORDS[kind] in failure.reason
    table.write_text(text + 3 * "x.wav,b\n")
    text = refusal(earmark.Dataset.read, table)
    assert "row 4" in text and WORDS[kind] in text


def test_in_a_folder_and_in_a_list_the_others_are_answered(tmp_path):
    folder = tmp_path / "recordings"
    (folder / "sub").mkdir(parents=True)
    soundfile.write(folder / "good.wav", np.full(8_000, 0.1), 8_000)
    names = [str(make(folder / "sub" / kind, kind)) for kind in KINDS]
    done = command("predict", MODEL, folder, expect=1)
    assert all(
        f"{name}: {WORDS[kind]}" in done.stderr for name, kind in zip(names, KINDS, strict=True)
    )
    assert "good.wav" in done.stdout and done.stdout.count("\n") == 1
    listed = "\n".join([*names, str(folder / "good.wav")])
    again = command("predict", MODEL, "-", stdin=listed, expect=1)
    assert sorted(again.stderr.splitlines()) == sorted(done.stderr.splitlines())
    assert again.stdout.split() == done.stdout.split()


def test_commands_refuse_it(tmp_path):
    pipe, table = make(tmp_path / "x.csv", "pipe"), _clips(tmp_path)
    for arguments in (
        ("predict", pipe, table), ("doctor", pipe), ("evaluate", MODEL, pipe),
        ("train", pipe, "-o", tmp_path / "m"), ("train", table, "-o", pipe),
        ("embed", pipe, "-o", tmp_path / "e.npz"), ("review", pipe),
        ("compare", pipe, "--backbone", "logmel,speech-embedding"),
        ("review", table, "--apply", pipe, "-o", tmp_path / "c.csv"),
    ):  # fmt: skip
        done = command(*arguments, expect=2)
        assert "x.csv" in done.stderr and WORDS["pipe"] in done.stderr, arguments
    assert pipe.is_fifo()  # nothing took its place


def test_a_device_is_not_replaced_by_what_is_written(tmp_path):
    pipe = make(tmp_path / "x", "pipe")
    assert "it is not a file but a pipe" in refusal(write_whole, pipe, b"")
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


def test_a_recording_that_becomes_a_pipe_is_not_waited_for(tmp_path):
    """Between the look at a path and its opening, others may change what is there."""
    code = (
        "import os, sys; from pathlib import Path; from earmark.system import files;"
        "os.mkfifo('x'); files.not_a_file = lambda path: None;"
        "files.open_file(Path('x'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "is not a file" in done.stderr


def _clips(folder: Path) -> Path:
    """Write a manifest of two good recordings."""
    for name in ("a", "b"):
        soundfile.write(folder / f"{name}.wav", np.full(4_000, 0.1), 8_000)
    table = folder / "clips.csv"
    table.write_text("path,label\na.wav,a\nb.wav,b\n")
    return table
