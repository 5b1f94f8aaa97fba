"""Clips whose recordings lie elsewhere: the same rows, and no body is read twice."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
import soundfile

import earmark
from earmark.audio import copying, uri
from earmark.data.clip import Clip
from earmark.embeddings import pipeline
from earmark.system import object_access, object_pages
from object_store import BUCKET, SECRET, open_store

RATE_HZ, COUNT = 16_000, 6


@pytest.fixture(scope="module")
def shared_store():
    with open_store() as store:
        yield store


@pytest.fixture
def store(shared_store):
    shared_store.faults.clear()
    shared_store.requests.clear()
    return shared_store


@pytest.fixture
def files(tmp_path, store):
    rng, paths = np.random.default_rng(2), []
    for number in range(COUNT):
        paths.append(tmp_path / f"{number}.wav")
        x = 0.1 * rng.standard_normal(RATE_HZ // 2).astype(np.float32)
        soundfile.write(paths[-1], x, RATE_HZ)
        store.put(paths[-1].name, paths[-1].read_bytes())
    return paths


def clips_in(store, names, scheme="s3", bucket=BUCKET, **more):
    return [Clip(store.uri(name, scheme, bucket), **more) for name in names]


def embed(clips, path, backbone="logmel"):
    with earmark.Store(path) as cache:
        return earmark.embed(clips, backbone, cache)


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_a_second_run_reads_no_body(store, files, tmp_path, scheme):
    local = earmark.embed([Clip(path) for path in files], "logmel")
    names = sorted(path.name for path in files)
    clips, path = clips_in(store, names, scheme), tmp_path / "s.sqlite"
    first = embed(clips, path)
    np.testing.assert_array_equal(first.matrix, local.matrix)
    assert list(first.keys) == list(local.keys)
    assert sorted(store.bodies()) == names  # one request for each
    again = embed(clips, path)
    np.testing.assert_array_equal(again.matrix, local.matrix)
    assert again.computed == 0
    assert len(store.requests) == COUNT
    assert store.bodies() == []


def test_another_backbone_reads_each_body_once_more(store, files, tmp_path):
    names, path = sorted(path.name for path in files), tmp_path / "s.sqlite"
    embed(clips_in(store, names), path)
    store.bodies()
    with earmark.Store(path) as cache:
        backbone = earmark.load_backbone("speech-embedding")
        rows = list(pipeline.embed_stream(clips_in(store, names), backbone, cache))
    assert all(row.is_computed for row in rows)
    assert sorted(store.bodies()) == names


def test_a_recording_that_changed_is_computed_again(store, files, tmp_path):
    names, path = [path.name for path in files], tmp_path / "s.sqlite"
    before = embed(clips_in(store, names), path)
    store.put(names[2], files[3].read_bytes())
    store.bodies()
    after = embed(clips_in(store, names), path)
    assert store.bodies() == [names[2]]
    np.testing.assert_array_equal(after.matrix[2], before.matrix[3])
    assert after.computed == 0  # the row of the equal recording is in the store


def test_a_recording_that_changes_while_it_is_read_is_a_failure(store, files, tmp_path):
    names, path = [path.name for path in files], tmp_path / "s.sqlite"
    embed(clips_in(store, names), path)
    store.faults[names[1]] = iter([files[0].read_bytes()])
    result = embed(clips_in(store, names), path, "speech-embedding")
    (failure,) = result.failures
    assert failure.path == store.uri(names[1])
    assert failure.reason == "changed while it was read; run the same command again."
    again = embed(clips_in(store, names), path, "speech-embedding")
    assert not again.failures


def test_what_cannot_be_read_does_not_hinder_the_rest(store, files, tmp_path):
    names = [path.name for path in files]
    clips = [
        *clips_in(store, ["none.wav"]),
        *clips_in(store, names[:2]),
        *clips_in(store, names[:1], bucket=SECRET),
        *clips_in(store, names[2:], "http"),
        Clip(files[0], end=0.2),
    ]
    result = embed(clips, tmp_path / "s.sqlite")
    assert len(result.clips) == COUNT + 1
    assert [failure.kind for failure in result.failures] == ["missing", "missing"]
    assert "(404)" in result.failures[0].reason
    assert "(403)" in result.failures[1].reason


def test_stretches_of_one_recording_ask_for_its_status_once(store, files, tmp_path):
    (name,) = [files[0].name]
    path = tmp_path / "s.sqlite"
    stretches = [Clip(store.uri(name), start=k / 10, end=k / 10 + 0.1) for k in range(4)]
    first = embed(stretches, path)
    local = earmark.embed(
        [Clip(files[0], start=clip.start, end=clip.end) for clip in stretches], "logmel"
    )
    np.testing.assert_array_equal(first.matrix, local.matrix)
    store.requests.clear()
    assert embed(stretches, path).computed == 0
    assert [method for method, *_ in store.requests] == ["HEAD"]


@pytest.mark.parametrize("change", ["content = x'00'", "size = 'x'", "digest = digest + 1"])
def test_a_damaged_row_about_an_object_is_not_used(store, files, tmp_path, change):
    clips, path = clips_in(store, [files[0].name]), tmp_path / "s.sqlite"
    before = embed(clips, path)
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE object SET {change}")
    store.bodies()
    again = embed(clips, path)
    assert store.bodies() == [files[0].name]
    assert list(again.keys) == list(before.keys)


def test_many_recordings_are_fetched_at_once(store, files, tmp_path):
    for number in range(40):
        store.put(f"many{number}.wav", files[0].read_bytes())
    store.requests.clear()
    store.faults.clear()
    waiting: list[int] = []
    answer = store._answer

    def counted(environ, start_response):
        waiting.append(1)
        most.append(len(waiting))
        try:
            return answer(environ, start_response)
        finally:
            waiting.pop()

    most: list[int] = []
    store._server.app, store.latency_s = counted, 0.05
    try:
        clips = clips_in(store, [f"many{number}.wav" for number in range(40)], "http")
        assert not embed(clips, tmp_path / "s.sqlite").failures
    finally:
        store._server.app, store.latency_s = answer, 0.0
    assert 16 <= max(most) <= pipeline.FETCHERS


@pytest.mark.slow
def test_the_listing_of_a_bucket_tells_many_statuses_at_once(store, files, tmp_path, monkeypatch):
    for module, name, value in (
        (object_pages, "SINGLE", 4),
        (object_pages, "LEAST_USED", 2),
        (object_access, "PAGE", 50),  # more than there are threads that ask
    ):
        monkeypatch.setattr(module, name, value)
    names = [f"page{number:03d}.wav" for number in range(160)]
    for name in names:
        store.put(name, files[0].read_bytes())
    path, clips = tmp_path / "s.sqlite", clips_in(store, names)
    embed(clips, path)
    object_access._access.cache_clear()
    store.requests.clear()
    assert not embed(clips, path).failures
    asked = [method for method, key, _ in store.requests if key]
    listings = [method for method, key, _ in store.requests if not key]
    assert set(asked) == {"HEAD"}
    assert len(asked) < 100
    assert 3 <= len(listings) <= 5
    store.put(names[130], files[1].read_bytes())
    object_access._access.cache_clear()
    store.bodies()
    embed(clips, path)
    assert store.bodies() == [names[130]]


@pytest.mark.slow
def test_a_bucket_in_another_order_is_asked_object_by_object(store, files, tmp_path, monkeypatch):
    monkeypatch.setattr(object_pages, "SINGLE", 0)
    monkeypatch.setattr(object_access, "PAGE", 3)
    names, path = [path.name for path in files][::-1], tmp_path / "s.sqlite"
    embed(clips_in(store, names), path)
    object_access._access.cache_clear()
    store.requests.clear()
    assert not embed(clips_in(store, names), path).failures
    listings = [method for method, key, _ in store.requests if not key]
    assert len(listings) == 1
    assert len(store.requests) >= COUNT - 2


def test_stretches_of_a_long_recording_are_read_at_once(store, tmp_path, monkeypatch):
    for module, name, value in (
        (copying, "SHORT_BYTES", 8_000),
        (copying, "HEAD_BYTES", 1_000),
        (uri, "BLOCK_BYTES", 20_000),
    ):
        monkeypatch.setattr(module, name, value)
    x = 0.1 * np.random.default_rng(4).standard_normal(60 * RATE_HZ).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", x, RATE_HZ)
    store.put("long.wav", (tmp_path / "long.wav").read_bytes())
    times = [(float(second), second + 0.5) for second in range(0, 60, 3)]
    clips = [Clip(store.uri("long.wav"), start=start, end=end) for start, end in times]
    local = earmark.embed(
        [Clip(tmp_path / "long.wav", start=start, end=end) for start, end in times], "logmel"
    )
    first = embed(clips, tmp_path / "s.sqlite")
    np.testing.assert_array_equal(first.matrix, local.matrix)
    assert list(first.keys) != list(local.keys)  # of the object's version, not of its bytes
    store.requests.clear()
    assert embed(clips, tmp_path / "s.sqlite").computed == 0
    assert [method for method, *_ in store.requests] == ["HEAD"]
    store.put("long.wav", (tmp_path / "long.wav").read_bytes()[:-2])
    assert embed(clips, tmp_path / "s.sqlite").computed == len(clips)
