"""Recordings that lie elsewhere are read like files of this machine."""

from __future__ import annotations

import gc
import os
import tempfile

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.audio import copying, uri
from earmark.audio.uri import UriSource
from earmark.errors import AudioError
from object_store import open_store

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def shared_store():
    with open_store() as store:
        yield store


@pytest.fixture
def store(shared_store, monkeypatch, tmp_path):
    monkeypatch.setattr(copying, "_kept", copying._Kept())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shared_store.faults.clear()
    shared_store.requests.clear()
    return shared_store


@pytest.fixture
def small(monkeypatch):
    """What counts as short, and is read at a time, is some kilobytes."""
    monkeypatch.setattr(copying, "SHORT_BYTES", 8_000)
    monkeypatch.setattr(copying, "HEAD_BYTES", 1_000)
    monkeypatch.setattr(copying, "COPIED_BYTES", 50_000)
    monkeypatch.setattr(uri, "BLOCK_BYTES", 4_096)


def recording(folder, suffix=".wav", seconds=10.0):
    x = 0.1 * np.random.default_rng(1).standard_normal(int(seconds * RATE_HZ))
    path = folder / f"x{suffix}"
    soundfile.write(path, x.astype(np.float32), RATE_HZ)
    return path


@pytest.mark.parametrize(
    ("suffix", "scheme"),
    [(".wav", "s3"), (".wav", "http"), (".flac", "http"), (".ogg", "s3"), (".mp3", "s3")],
)
def test_samples_are_those_of_the_file(store, tmp_path, small, suffix, scheme):
    path = recording(tmp_path, suffix)
    store.put(f"x{suffix}", path.read_bytes())
    source = UriSource(store.uri(f"x{suffix}", scheme))
    assert source.size == path.stat().st_size
    for stretch in ((None, None), (4.0, 4.5), (9.0, None)):
        expected, got = audio.read(path, 8_000, *stretch), audio.read(source, 8_000, *stretch)
        np.testing.assert_array_equal(got.samples, expected.samples)
        assert (got.warnings, got.notes) == (expected.warnings, expected.notes)
    assert audio.header_of(source) == audio.header_of(path)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_stretch_of_a_long_recording_takes_only_some_of_its_bytes(store, tmp_path, small, suffix):
    path = recording(tmp_path, suffix, 60.0)
    store.put("long", path.read_bytes())
    audio.read(UriSource(store.uri("long")), None, 30.0, 30.1)
    spans = [span for method, _, span in store.requests if method == "GET"]
    assert len(spans) < 40
    count = sum(1 + int(b) - int(a) for a, b in (s[6:].split("-") for s in spans))
    assert count < path.stat().st_size / 5


def test_a_stretch_outside_a_recording_is_refused(store, tmp_path, small):
    store.put("x", recording(tmp_path).read_bytes())
    with pytest.raises(AudioError, match="not inside the recording"):
        audio.read(UriSource(store.uri("x")), None, 20.0, 21.0)


def test_a_copy_is_made_once_and_deleted(store, tmp_path, small):
    content = recording(tmp_path, ".ogg").read_bytes()
    os.remove(tmp_path / "x.ogg")
    store.put("x.ogg", content)
    source = UriSource(store.uri("x.ogg"))
    audio.read(source, None, 1.0, 2.0)
    assert len(store.bodies()) == 2  # the head, and the rest
    assert len(list(tmp_path.iterdir())) == 1
    audio.read(source, None, 2.0, 3.0)
    assert len(store.bodies()) == 1  # its head, to know whether it changed
    copying._kept = copying._Kept()
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", [403, 404, "cut"])
def test_a_block_that_does_not_come_is_no_damage(store, tmp_path, small, fault, monkeypatch):
    monkeypatch.setattr("earmark.system.objects.DEADLINE_S", -1.0)
    store.put("x", recording(tmp_path).read_bytes())
    reason = {403: "access is denied", 404: "does not exist", "cut": "failed|bytes came"}[fault]
    for good in range(2, 5):
        store.faults["x"] = iter([None] * good + [fault])
        with pytest.raises(AudioError, match=reason) as refused:
            audio.read(UriSource(store.uri("x")), None, 3.0, 5.0)
        assert refused.value.kind == "missing"


def test_a_long_recording_that_changes_while_it_is_read_is_refused(store, tmp_path, small):
    content = recording(tmp_path).read_bytes()
    for stretch in ((None, None), (1.0, 2.0)):
        store.put("x", content)
        store.faults["x"] = iter([None, content[:-2]])
        with pytest.raises(AudioError, match="changed while it was read; run the same command"):
            audio.read(UriSource(store.uri("x")), None, *stretch)


def test_too_large_and_too_little_room_are_sentences(store, tmp_path, small, monkeypatch):
    store.put("x", recording(tmp_path).read_bytes())
    monkeypatch.setattr(copying, "SPARE_BYTES", 1 << 60)
    with pytest.raises(AudioError, match=r"has 320,044 bytes, and .* has room for .* TMPDIR"):
        audio.read(UriSource(store.uri("x")))
    monkeypatch.setattr(copying, "MOST_BYTES", 1_000)
    with pytest.raises(AudioError, match=r"has 320,044 bytes, and at most 1,000 are read"):
        audio.read(UriSource(store.uri("x")))


def test_an_empty_object_is_an_empty_file(store):
    store.put("x", b"")
    for scheme in ("s3", "http"):
        with pytest.raises(AudioError, match="the file is empty") as refused:
            audio.read(UriSource(store.uri("x", scheme)))
        assert refused.value.kind == "empty"
