"""Tables that name recordings by URI: with permission only, and mixed with paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from earmark.audio.source import FileSource
from earmark.audio.uri import UriSource
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset, answerable
from earmark.data.event_reading import read_events
from earmark.errors import DataError

URIS = ("s3://bucket/a b.wav", "https://host/x.mp3?version=2", "gs://bucket/c#d.flac")


@pytest.fixture
def manifest(tmp_path) -> Path:
    (tmp_path / "here.wav").write_bytes(b"x")
    rows = [f'"{uri}",{label}' for uri, label in zip(URIS, "aba", strict=True)]
    path = tmp_path / "m.csv"
    path.write_text("\n".join(["path,label", "here.wav,b", *rows]) + "\n")
    return path


def test_a_table_with_uris_is_refused_without_permission(manifest):
    sentence = (
        r"m\.csv: 3 of 4 rows name recordings elsewhere, first row 3: 's3://bucket/a b\.wav'\."
        r" Nothing was fetched\. Give --allow-remote, or in Python"
        r" Dataset\.read\(\.\.\., allow_remote=True\), to fetch from there\."
    )
    with pytest.raises(DataError, match=sentence):
        Dataset.read(manifest)
    with pytest.raises(DataError, match="3 of 4 rows"):
        Dataset.read(manifest, need_labels=False, is_list=True)
    manifest.write_text("path,label\nhere.wav,a\nhttps://u:secret@host/x.wav?key=secret,b\n")
    with pytest.raises(DataError, match=r"1 of 2 rows names a recording .*'https://host/x.wav'"):
        Dataset.read(manifest)


def test_uris_are_kept_as_they_are(manifest, tmp_path):
    data = Dataset.read(manifest, allow_remote=True)
    assert [clip.place for clip in data.clips] == [str(tmp_path / "here.wav"), *URIS]
    assert [clip.is_remote for clip in data.clips] == [False, True, True, True]
    assert data.clips[0].source == FileSource(tmp_path / "here.wav")
    assert data.clips[1].source == UriSource(URIS[0])
    assert data.clips[2].path.name == "x.mp3?version=2"
    again = tmp_path / "sub" / "again.csv"
    again.parent.mkdir()
    data.to_manifest(again)
    assert Dataset.read(again, allow_remote=True) == data


def test_the_same_uri_twice_is_the_same_clip(manifest):
    manifest.write_text("path,label\nS3://bucket/a.wav,a\ns3://bucket/a.wav,b\n")
    with pytest.raises(DataError, match="rows 2 and 3 are the same clip"):
        Dataset.read(manifest, allow_remote=True)


def test_a_file_uri_is_a_path_of_this_machine(manifest, tmp_path):
    other = tmp_path / "with blank.wav"
    other.write_bytes(b"x")
    manifest.write_text(f"path,label\n{other.as_uri()},a\nhere.wav,b\n")
    data = Dataset.read(manifest)
    assert data.clips[0].path == other
    assert not data.clips[0].is_remote


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ftp://host/a.wav", "has the scheme ftp. Use s3, gs, az, https and http, or a path"),
        ("simplecache::s3://b/a.wav", "does not exist"),
        ("s3://b/a.zip::b.wav", "is a chain of names. Name a recording, one file of a .tar"),
        ("https://[host/a.wav", "is not a whole address. Give SCHEME://PLACE/NAME"),
        ("s3://bucket", "is not a whole address"),
        ("file://server/a.wav", "names a file of another machine"),
    ],
)
def test_names_that_cannot_be_read(manifest, name, reason):
    manifest.write_text(f"path,label\n{name},a\n{name}2,b\n")
    with pytest.raises(DataError) as refused:
        Dataset.read(manifest, allow_remote=True)
    assert reason in str(refused.value)


def test_a_uri_may_be_given_instead_of_a_path():
    with pytest.raises(DataError, match="s3://bucket/a.wav is elsewhere. Nothing was fetched"):
        answerable(["s3://bucket/a.wav"])
    clips, _ = answerable(["s3://bucket/a.wav"], allow_remote=True)
    assert clips == [Clip("s3://bucket/a.wav")]
    with pytest.raises(DataError, match="has the scheme ftp"):
        answerable(["ftp://bucket/a.wav"], allow_remote=True)


def test_tables_of_events_are_of_this_machine(tmp_path):
    table = tmp_path / "events.csv"
    table.write_text("path,start,end,label\ns3://bucket/a.wav,0,1,a\n")
    with pytest.raises(DataError, match=r"row 2: 's3://bucket/a.wav' is elsewhere. Copy it to"):
        read_events(table)
