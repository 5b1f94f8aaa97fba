"""Recordings inside tar archives that lie elsewhere."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
import soundfile

import earmark
from earmark import audio
from earmark.audio import copying, shards
from earmark.audio.uri import UriSource
from earmark.data.clip import Clip
from earmark.embeddings import objects
from earmark.errors import AudioError
from object_store import open_store

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def store():
    with open_store() as store:
        yield store


@pytest.fixture
def files(store, tmp_path, monkeypatch):
    """Three recordings, also in the archive ``shard.tar``."""
    monkeypatch.setattr(shards, "_shards", shards._Shards())
    rng, paths, content = np.random.default_rng(3), [], io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for number in range(3):
            path = tmp_path / f"{number}.wav"
            soundfile.write(path, 0.1 * rng.standard_normal(RATE_HZ), RATE_HZ)
            tar.add(path, f"clips/{number}.wav")
            paths.append(path)
        link = tarfile.TarInfo("clips/link.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    store.put("shard.tar", content.getvalue())
    store.requests.clear()
    return paths


@pytest.mark.parametrize("short_bytes", [100, 50_000, 1 << 21])
def test_members_are_the_files(store, files, short_bytes, monkeypatch):
    for module in (copying, shards):
        monkeypatch.setattr(module, "SHORT_BYTES", short_bytes)
    for number, path in enumerate(files):
        source = UriSource(f"{store.uri('shard.tar')}::clips/{number}.wav")
        np.testing.assert_array_equal(audio.read(source).samples, audio.read(path).samples)
        part = audio.read(source, None, 0.2, 0.4).samples
        np.testing.assert_array_equal(part, audio.read(path, None, 0.2, 0.4).samples)
    assert len(store.bodies()) <= 2


def test_embeddings_are_those_of_the_files_and_a_second_run_asks_once(
    store, files, tmp_path, monkeypatch
):
    monkeypatch.setattr(objects, "STRIPES", 1)  # all locks of recordings are one
    uris = [f"{store.uri('shard.tar', 'http')}::clips/{number}.wav" for number in range(3)]
    local, matrices = earmark.embed([Clip(path) for path in files], "logmel"), []
    for bodies in (1, 0):
        with earmark.Store(tmp_path / "s.sqlite") as cache:
            matrices.append(earmark.embed([Clip(uri) for uri in uris], "logmel", cache).matrix)
        heads = [method for method, *_ in store.requests].count("HEAD")
        assert len(store.bodies()) == bodies
    assert heads == 1
    for matrix in matrices:
        np.testing.assert_array_equal(matrix, local.matrix)


@pytest.mark.parametrize("name", ["none.wav", "clips/link.wav", "clips"])
def test_what_is_no_file_of_the_archive_is_missing(store, files, name):
    with pytest.raises(AudioError, match="not in the archive, which has 3 files") as refused:
        audio.read(UriSource(f"{store.uri('shard.tar')}::{name}"))
    assert refused.value.kind == "missing"


@pytest.mark.parametrize("content", [b"", b"no archive" * 200, bytes(4_096)])
def test_what_is_no_archive_is_a_sentence(store, files, content):
    store.put("bad.tar", content)
    with pytest.raises(AudioError, match="no tar file|is empty|which has 0 files"):
        audio.read(UriSource(f"{store.uri('bad.tar')}::a.wav"))


def test_an_archive_that_changed_is_fetched_again(store, files):
    source = UriSource(f"{store.uri('shard.tar')}::clips/0.wav")
    audio.read(source)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.add(files[1], "clips/0.wav")
    store.put("shard.tar", content.getvalue())
    np.testing.assert_array_equal(audio.read(source).samples, audio.read(files[1]).samples)
