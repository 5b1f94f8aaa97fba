"""Objects that lie elsewhere: their status and bytes, and what goes wrong."""

from __future__ import annotations

import itertools
import sys

import pytest

from earmark.errors import EarmarkError
from earmark.system import object_access, objects
from earmark.system.objects import (
    ChangedError,
    ObjectError,
    ObjectStatus,
    is_uri,
    read_part,
    read_status,
    scheme_of,
)
from object_store import SECRET, open_store

CONTENT = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def shared_store():
    with open_store() as store:
        yield store


@pytest.fixture
def store(shared_store, monkeypatch):
    monkeypatch.setattr(objects, "_failing", objects._Failing())
    shared_store.faults.clear()
    shared_store.put("a.wav", CONTENT)
    shared_store.bodies()
    return shared_store


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        ("s3://b/a.wav", "s3"),
        ("HTTPS://host/a.wav", "https"),
        ("a.wav", None),
        ("C:\\a.wav", None),
        ("c://a.wav", None),
        ("/s3://b", None),
        ("folder/http://x", None),
    ],
)
def test_a_uri_has_a_scheme(text, scheme):
    assert scheme_of(text) == scheme
    assert is_uri(text) == (scheme is not None)


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_a_part_has_its_bytes_and_the_status_of_the_object(store, scheme):
    uri = store.uri("a.wav", scheme)
    status = read_status(uri)
    assert status.size == len(CONTENT)
    assert status.version
    assert store.bodies() == []
    assert read_part(uri, 0, 1 << 20) == (CONTENT, status, True)
    assert read_part(uri, 100, 200, status).content == CONTENT[100:200]
    assert read_part(uri, len(CONTENT) - 5, 1 << 20).content == CONTENT[-5:]


def test_objects_in_memory_are_read_through_fsspec():
    import fsspec

    fsspec.filesystem("memory").pipe_file("/b/a.wav", CONTENT)
    status = read_status("memory://b/a.wav")
    assert status.size == len(CONTENT)
    assert read_part("memory://b/a.wav", 10, 20, status).content == CONTENT[10:20]
    with pytest.raises(ObjectError, match="does not exist there"):
        read_status("memory://b/none.wav")
    fsspec.filesystem("memory").pipe_file("/b/a.wav", CONTENT[:-1])
    with pytest.raises(ChangedError):
        read_part("memory://b/a.wav", 10, 20, status)


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_a_failure_that_may_pass_is_tried_again_after_growing_pauses(store, scheme, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(objects, "pause", pauses.append)
    store.faults["a.wav"] = iter([503, "cut", 500, 429])
    assert read_part(store.uri("a.wav", scheme), 0, 1 << 20).content == CONTENT
    assert len(pauses) == 4
    assert all(2**k / 4 <= pause <= 2**k / 2 for k, pause in enumerate(pauses))


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_a_server_that_fails_is_given_up_and_then_asked_once(store, scheme, monkeypatch):
    monkeypatch.setattr(objects, "DEADLINE_S", 120.0)
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(objects, "monotonic", lambda: next(clock))
    store.faults["a.wav"] = itertools.repeat(503)
    uri = store.uri("a.wav", scheme)
    with pytest.raises(ObjectError, match=r"answers 503, 6 times in a row; check the server"):
        read_part(uri, 0, 10)
    assert len(store.bodies()) == 6
    with pytest.raises(ObjectError, match=r"answers 503; check the server"):
        read_part(uri, 0, 10)
    assert len(store.bodies()) == 1
    store.faults.clear()
    assert read_part(uri, 0, 10).content == CONTENT[:10]
    store.faults["a.wav"] = iter([503])
    assert read_part(uri, 0, 10).content == CONTENT[:10]


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_a_server_that_is_slow_is_asked_again(store, scheme, monkeypatch):
    monkeypatch.setattr(objects, "ATTEMPT_S", 0.2)
    store.faults["a.wav"] = iter(["slow"])
    assert read_part(store.uri("a.wav", scheme), 0, 10).content == CONTENT[:10]
    store.release.set()
    store.release.clear()


@pytest.mark.parametrize("scheme", ["s3", "http"])
@pytest.mark.parametrize(
    ("key", "bucket", "reason"),
    [
        ("none.wav", "recordings", "does not exist there (404); check the URI"),
        ("a.wav", "no-bucket", "does not exist there (404); check the URI"),
        ("a.wav", SECRET, "access is denied (403); check the credentials"),
    ],
)
def test_what_cannot_be_read_is_not_tried_again(store, scheme, key, bucket, reason):
    uri = store.uri(key, scheme, bucket)
    for read in (read_status, lambda uri: read_part(uri, 0, 10)):
        with pytest.raises(ObjectError) as refused:
            read(uri)
        assert str(refused.value).startswith(reason)
        assert len(store.bodies()) <= 1


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_an_object_that_changed_is_refused(store, scheme):
    uri = store.uri("a.wav", scheme)
    status = read_status(uri)
    store.put("a.wav", CONTENT[::-1])
    with pytest.raises(ChangedError, match="changed while it was read"):
        read_part(uri, 0, 10, status)
    assert len(store.bodies()) == 1


def test_a_version_tells_when_the_server_has_no_preconditions(store):
    uri = store.uri("a.wav", "http")
    with pytest.raises(ChangedError):
        read_part(uri, 0, 10, ObjectStatus(len(CONTENT), 'W/"weak"'))


def test_an_answer_without_end_is_refused(store):
    store.faults["a.wav"] = iter(["endless"])
    with pytest.raises(ObjectError, match="does not tell the size"):
        read_part(store.uri("a.wav", "http"), 0, 1 << 20)


def test_redirects_are_followed_a_few_times(store):
    uri = store.uri("a.wav", "http")
    store.faults["a.wav"] = iter([("redirect", uri)] * 5)
    assert read_part(uri, 0, 10).content == CONTENT[:10]
    store.faults["a.wav"] = itertools.repeat(("redirect", uri))
    store.bodies()
    with pytest.raises(ObjectError, match="its server redirects more than 5 times; check the URI"):
        read_part(uri, 0, 10)
    assert len(store.bodies()) <= 7


def test_https_is_not_left(store, monkeypatch):
    web = object_access.access_to(store.uri("a.wav", "http"))
    encode = web.fs.encode_url
    monkeypatch.setattr(web.fs, "encode_url", lambda url: encode(store.uri("a.wav", "http")))
    with pytest.raises(ObjectError, match="redirects to HTTP, which is not safe to follow"):
        web.part("https://host/a.wav", 0, 10, None, 10.0)


def test_other_schemes_are_refused():
    with pytest.raises(ObjectError, match=r"ftp:// cannot be read; use s3, gs, az, https and http"):
        read_status("ftp://host/a.wav")


def test_a_package_that_is_missing_is_named(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    object_access._access.cache_clear()
    with pytest.raises(EarmarkError, match=r"reading s3:// needs the package s3fs.*\[remote\]"):
        read_status("s3://bucket/a.wav")
    monkeypatch.undo()
    with pytest.raises(EarmarkError, match=r"reading gs:// needs .* gcsfs"):
        read_status("gs://bucket/a.wav")


def test_nothing_is_asked_for_offline(store, monkeypatch):
    monkeypatch.setenv("EARMARK_OFFLINE", "1")
    with pytest.raises(EarmarkError, match=r"EARMARK_OFFLINE=1 forbids reading s3://"):
        read_status(store.uri("a.wav"))
    assert store.requests == []
