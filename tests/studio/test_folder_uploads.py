"""Uploads of the studio: appended as they come, kept after a crash, limited, safely named."""

import errno
import os
import shutil
import threading

import hypothesis
import numpy as np
import pytest
import soundfile
from hypothesis import strategies as st

from earmark.apps.studio.folder import uploads
from earmark.apps.studio.folder.folder import Folder
from earmark.apps.studio.folder.names import MOST_NAME, free_place, safe_folders, safe_name
from earmark.apps.studio.mistakes import (
    ConflictError,
    DiskFullError,
    TooLargeError,
    UnknownIdError,
)
from earmark.errors import EarmarkError
from studio_folders import (
    RATE,
    begin,
    copy_of,
    drop,
    ids,
    labels,
    pcm,
    record,
    shown,
    sound,
    sounds,
)


@pytest.fixture
def place(tmp_path):
    return sounds(tmp_path / "sounds", "bell/1.wav", "dog/1.wav")


@pytest.fixture
def folder(place):
    return Folder(place)


def test_a_recorded_piece_is_a_wav_with_its_samples_and_label(folder, place):
    samples = (1_000 * np.sin(np.arange(4_800))).astype("<i2")
    upload = begin(folder, "bell", "bell", take="t1", rate_hz=48_000)
    data = samples.tobytes()
    assert folder.append(upload, 0, data[:4_000]) == 4_000
    assert folder.append(upload, 0, data[:4_000]) == 4_000  # sent again after a lost answer
    assert folder.append(upload, 2_000, data[2_000:6_000]) == 6_000
    with pytest.raises(ConflictError, match="is at 6,000 bytes"):
        folder.append(upload, 7_000, data[7_000:])
    folder.append(upload, 6_000, data[6_000:])
    answer = folder.finish_upload(upload)
    assert answer["said"] == "Added 'bell.wav'." and answer["clip"]["take"] == "t1"
    assert folder.finish_upload(upload)["clip"] == answer["clip"]  # the answer was lost
    read, rate = soundfile.read(place / "recordings/bell.wav", dtype="int16")
    assert rate == 48_000 and np.array_equal(read, samples)
    assert answer["clip"]["seconds"] == 0.1 and answer["clip"]["is_recorded"]
    assert labels(place) == shown(folder) and not list((place / ".studio/uploads").iterdir())


def test_an_addition_is_undone_to_the_trash_and_comes_back(folder, place):
    record(folder, "x", "dog")
    content = (place / "recordings/x.wav").read_bytes()
    folder.undo()
    assert not (place / "recordings/x.wav").exists() and len(labels(place)) == 2
    record(folder, "y", "dog")
    folder.undo()
    folder.redo()
    assert (place / "recordings/y.wav").read_bytes() == content
    assert labels(place) == shown(folder) and len(shown(folder)) == 3


@pytest.mark.parametrize("label", [None, "dog"])
def test_a_piece_that_had_not_ended_is_kept_at_the_next_start(folder, place, tmp_path, label):
    upload = begin(folder, "x", label, take="t1")
    folder.append(upload, 0, pcm(0.2) + b"\1")
    short = begin(folder, "short", "dog")
    folder.append(short, 0, pcm(0.01))
    part = folder.begin_upload({"kind": "file", "name": "big.wav", "bytes": 10**6})
    folder.append(part, 0, bytes(10**5))
    copy = copy_of(place, tmp_path / "copy")  # as after kill -9; this studio still holds its own
    again = Folder(copy)
    kept, lost = again.state()["trouble"]
    assert kept["kind"] == "recovered" and "1 recording had not been finished" in kept["detail"]
    assert lost["kind"] == "unfinished" and "'big.wav' had come only in part" in lost["detail"]
    chosen = {"unlabelled": True} if label is None else {"label": label}
    clip = again.clips(**chosen)["clips"][-1]
    assert (clip["name"], clip["label"], clip["take"]) == ("x.wav", label, "t1")
    assert len(soundfile.read(copy / "recordings/x.wav")[0]) == 0.2 * RATE
    assert not list((copy / ".studio/uploads").iterdir())
    assert Folder(copy).state()["trouble"] == []
    other = Folder(place)  # another studio beside the first one takes nothing from it
    assert other.state()["trouble"] == [] and other.state()["counts"]["recordings"] == 2
    folder.finish_upload(upload)


def test_a_page_that_outlives_the_studio_ends_its_piece_or_replaces_it(folder, place, tmp_path):
    ended, begun = begin(folder, "ended", "dog", take="t"), begin(folder, "begun", "dog", take="t")
    for upload in (ended, begun):
        folder.append(upload, 0, pcm(0.2))
    last = begin(folder, "last", "dog")
    folder.append(last, 0, pcm(0.2))
    clip = folder.finish_upload(last)["clip"]
    again = Folder(copy_of(place, tmp_path / "copy"))  # as after kill -9
    assert again.finish_upload(last)["clip"]["id"] == clip["id"]  # the answer was lost
    assert again.finish_upload(ended)["clip"]["name"] == "ended.wav"
    with pytest.raises(UnknownIdError):
        again.append(begun, len(pcm(0.2)), pcm(0.2))
    whole = begin(again, "begun", "dog", take="t")
    again.append(whole, 0, pcm(0.4))
    again.finish_upload(whole)
    again.drop_upload(begun)  # what was recovered of it
    names = {path.name: path.stat().st_size for path in again.path.glob("recordings/*.wav")}
    assert names == {
        "ended.wav": 44 + len(pcm(0.2)),
        "last.wav": 44 + len(pcm(0.2)),
        "begun 2.wav": 44 + len(pcm(0.4)),
    }
    (told,) = again.state()["trouble"]
    assert "1 recording had not been finished and was kept" in told["detail"]
    with pytest.raises(UnknownIdError):
        again.drop_upload(whole)
    assert len(list(again.path.glob("recordings/*.wav"))) == 3


def test_dropped_files_keep_their_folders_and_never_replace_another(folder, place, tmp_path):
    content = sound(tmp_path / "new.wav").read_bytes()
    for name, inside in (
        ("a.wav", "a/b"),
        ("A.WAV", "A/b"),
        ("a.wav", "../a/./b/.."),
        ("a.wav", ""),
    ):
        drop(folder, name, content, folder=inside, label="dog")
    found = {place for place, *_ in shown(folder)}
    assert {p for p in found if p.startswith("recordings")} == {
        "recordings/a/b/a.wav", "recordings/a/b/A 2.WAV", "recordings/a/b/a 3.wav",
        "recordings/a.wav",
    }  # fmt: skip
    assert labels(place) == shown(folder)


def test_a_dropped_table_can_be_imported_and_is_no_clip(folder, place):
    drop(folder, "meta.csv", b"path,label,speaker\n../bell/1.wav,gong,ann\n")
    (table,) = folder.state()["manifests"]
    assert table["name"] == "recordings/meta.csv"
    folder.import_manifest(table["id"])
    assert labels(place)["bell/1.wav", 0.0, None] == "gong"
    with pytest.raises(EarmarkError, match="'notes.pdf' is no recording"):
        drop(folder, "notes.pdf", b"x")


def test_what_is_only_tried_is_never_in_the_folder(folder, place, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_TRIES", 2)
    content = sound(tmp_path / "new.wav").read_bytes()
    answers = [drop(folder, "x.wav", content, purpose="try") for _ in range(3)]
    located = folder.locate_upload(answers[-1]["upload"])
    assert located.path.read_bytes() == content and located.name == "x.wav"
    assert folder.state()["counts"]["recordings"] == 2 and answers[0]["clip"] is None
    with pytest.raises(UnknownIdError):
        folder.locate_upload(answers[0]["upload"])
    folder.drop_upload(answers[-1]["upload"])
    assert not located.path.exists()


def test_limits(folder, monkeypatch):
    with pytest.raises(TooLargeError, match="may have at most 4,294,967,296 bytes"):
        folder.begin_upload({"kind": "file", "name": "x.wav", "bytes": 5 << 30})
    upload = begin(folder, "x", None)
    with pytest.raises(TooLargeError, match="Send smaller parts"):
        folder.append(upload, 0, bytes((1 << 20) + 1))
    folder.append(upload, 0, pcm(35))
    with pytest.raises(TooLargeError, match="a piece may have 30 s"):
        folder.append(upload, len(pcm(35)), pcm(1))
    for rate in (None, 10, 10**9):
        with pytest.raises(EarmarkError, match="Hz"):
            begin(folder, "x", None, rate_hz=rate)
    monkeypatch.setattr(uploads, "MOST_OPEN", 2)
    begin(folder, "x", None)
    with pytest.raises(EarmarkError, match="2 uploads are open"):
        begin(folder, "x", None)


def test_what_is_not_complete_is_not_kept(folder, place):
    with pytest.raises(UnknownIdError):
        folder.append("0" * 16, 0, b"")
    part = folder.begin_upload({"kind": "file", "name": "x.wav", "bytes": 10})
    folder.append(part, 0, bytes(5))
    with pytest.raises(ConflictError, match="5 of 10 bytes have come"):
        folder.finish_upload(part)
    nothing = begin(folder, "x", None)
    with pytest.raises(EarmarkError, match="no sound has come"):
        folder.finish_upload(nothing)
    folder.drop_upload(part)
    folder.drop_upload(nothing)
    assert not list((place / ".studio/uploads").iterdir())
    assert folder.state()["counts"]["recordings"] == 2


def test_a_disk_that_fills_up_keeps_what_has_come(folder, place, monkeypatch):
    upload = begin(folder, "x", "dog")
    folder.append(upload, 0, pcm(0.2))
    usage = shutil.disk_usage(place)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000))
    with pytest.raises(DiskFullError, match="What has come so far was kept"):
        folder.append(upload, len(pcm(0.2)), pcm(0.2))
    with pytest.raises(DiskFullError):
        begin(folder, "y", "dog")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    real = uploads.open if hasattr(uploads, "open") else open

    class Full:
        """A file that takes some bytes, and then none."""

        def __init__(self, *given, **more):
            self.file = real(*given, **more)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            if len(data) <= 100:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(data[:100])

    monkeypatch.setattr(uploads, "open", Full, raising=False)
    with pytest.raises(DiskFullError):
        folder.append(upload, len(pcm(0.2)), pcm(0.2))
    monkeypatch.setattr(uploads, "open", real, raising=False)
    clip = folder.finish_upload(upload)["clip"]
    assert clip["seconds"] == 0.2 and labels(place) == shown(folder)


def test_pieces_of_several_pages_at_once_all_come_in(folder, place):
    def page(number):
        for n in range(5):
            record(folder, f"{number} {n}", f"class {number}")

    threads = [threading.Thread(target=page, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(labels(place)) == 22 and labels(place) == shown(folder)
    for _ in range(20):
        folder.undo()
    assert len(labels(place)) == 2


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd.wav", "passwd.wav"),
        ("C:\\x\\y.wav", "y.wav"),
        ("a\r\nb\u202e.wav", "ab.wav"),
        ("con.wav", "_con.wav"),
        (".hidden.wav", "hidden.wav"),
        ('<b>"a|b".wav', "_b__a_b_.wav"),
        ("...", "other"),
        ("e\u0301.wav", "\u00e9.wav"),
    ],
)
def test_names_are_safe_on_every_system(name, safe):
    assert safe_name(name, "other") == safe


@hypothesis.given(st.text(), st.text())
def test_no_name_leads_out_or_is_hidden(name, folder):
    parts = [*safe_folders(folder), safe_name(name, "recording")]
    assert all(part not in ("", ".", "..") and part[0] != "." for part in parts)
    assert not any(letter in part for part in parts for letter in '/\\\0:*?"<>|')
    assert len(os.fsencode(parts[-1])) <= MOST_NAME + 60


def test_a_free_name_differs_in_more_than_case(tmp_path):
    for name in ("A.wav", "a 2.WAV"):
        (tmp_path / name).touch()
    assert free_place(tmp_path, "a.wav").name == "a 3.wav"
    assert free_place(tmp_path / "none", "a.wav").name == "a.wav"


def test_an_upload_cannot_begin_with_a_label_that_is_no_class(folder):
    with pytest.raises(EarmarkError, match="cannot be shown"):
        begin(folder, "x", "a\nb")
    assert not ids(folder, unlabelled=True)
