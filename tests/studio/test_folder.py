"""A folder as the studio shows and changes it: the files are the only state."""

import csv
import errno
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import soundfile
from hypothesis import strategies as st

import earmark
from earmark.apps.studio.folder import Folder
from earmark.apps.studio.history import edited, edits
from earmark.apps.studio.manifest import Row, id_of, read_rows, write_rows
from earmark.apps.studio.uploads import plain_folder, plain_name
from earmark.errors import EarmarkError


def sound(path: Path, seconds: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(int(8_000 * seconds)), 8_000)
    return path


@pytest.fixture
def place(tmp_path):
    """Two classes of two recordings each, and one without a label beside them."""
    for name in ("bell/1.wav", "bell/2.wav", "dog/1.wav", "dog/2.wav"):
        sound(tmp_path / "sounds" / name)
    return tmp_path / "sounds"


def labels_of(place: Path) -> dict[str, str | None]:
    """Return what the command line reads."""
    clips = earmark.Dataset.read(place, need_labels=False).clips
    return {Path(clip.path).relative_to(place).as_posix(): clip.label for clip in clips}


def ids(folder: Folder, **chosen) -> list[str]:
    return [clip["id"] for clip in folder.clips(**chosen)["clips"]]


def test_a_folder_of_classes_is_shown_and_nothing_is_written(place):
    before = sorted(place.rglob("*"))
    state = Folder(place).state()
    assert [(c["name"], c["n_clips"]) for c in state["classes"]] == [("bell", 2), ("dog", 2)]
    assert state["counts"]["unlabelled"] == 0 and state["trouble"] == []
    assert sorted(place.rglob("*")) == before


def test_a_change_is_what_the_command_line_reads(place):
    folder = Folder(place)
    (place / "models").mkdir()
    folder.label(ids(folder, label="dog")[:1], "wolf")
    assert labels_of(place) == {
        "bell/1.wav": "bell",
        "bell/2.wav": "bell",
        "dog/1.wav": "wolf",
        "dog/2.wav": "dog",
    }
    assert earmark.Dataset.read(place).notes[-1].endswith("earmark.csv")


def test_what_is_undone_is_as_before_also_after_a_restart(place):
    folder = Folder(place)
    folder.settle()
    before = (place / "earmark.csv").read_bytes()
    folder.label(ids(folder)[:3], "wolf")
    folder.leave_out(ids(folder, label="wolf")[:2], "too loud")
    folder.delete(ids(folder, label="dog"))
    assert not (place / "dog/2.wav").exists()
    again = Folder(place)
    after = (place / "earmark.csv").read_bytes()
    for _ in range(3):
        again.undo()
    assert (place / "earmark.csv").read_bytes() == before and (place / "dog/2.wav").exists()
    assert again.clips(left_out=True)["total"] == 0
    with pytest.raises(EarmarkError, match="nothing to undo"):
        again.undo()
    for _ in range(3):
        again.redo()
    assert (place / "earmark.csv").read_bytes() == after


ROWS = st.lists(
    st.builds(Row, st.sampled_from("abcdef"), st.just(""), st.just(""), st.sampled_from("xyz")),
    unique_by=lambda row: row.path,
)


@hypothesis.given(ROWS, ROWS)
def test_edits_lead_there_and_back(before, after):
    made = edits(before, after)
    assert {r.key: r for r in edited(before, made)} == {r.key: r for r in after}
    back = tuple((n, b, a) for n, a, b in made)
    assert {r.key: r for r in edited(edited(before, made), back)} == {r.key: r for r in before}


def test_what_another_program_wrote_stays(place):
    folder = Folder(place)
    folder.label(ids(folder, label="dog")[:1], "wolf")
    rows = read_rows(place / "earmark.csv", place)
    write_rows(place / "earmark.csv", [*rows[:-1], Row("dog/2.wav", label="fox")])
    folder.label(ids(folder, label="bell")[:1], "gong")
    assert labels_of(place)["dog/2.wav"] == "fox" and labels_of(place)["bell/1.wav"] == "gong"


def test_two_folders_of_one_place_agree(place):
    one, other = Folder(place), Folder(place)
    one.label(ids(one, label="dog")[:1], "wolf")
    assert other.refresh() and not other.refresh()
    assert one.state()["classes"] == other.state()["classes"]


def test_other_columns_stay(place):
    (place / "earmark.csv").write_text(
        "path,label,speaker,note\nbell/1.wav,bell,ann,x\ndog/1.wav,dog,bob,\n"
    )
    folder = Folder(place)
    assert folder.state()["columns"] == ["speaker"]
    folder.label([id_of("dog/1.wav")], "wolf")
    with (place / "earmark.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {"path": "dog/1.wav", "label": "wolf", "speaker": "bob", "note": ""}
    assert folder.state()["counts"]["unlabelled"] == 2


@pytest.mark.parametrize(
    "text",
    [
        "path,label\nbell/1.wav,a\nbell/1.wav,b\n",
        "file,label\nbell/1.wav,a\n",
        "path,label,start\nbell/1.wav,a,x\n",
        "path,label\nbell/1.wav,\0\n",
    ],
)
def test_a_damaged_manifest_is_told_and_not_overwritten(place, text):
    (place / "earmark.csv").write_text(text)
    folder = Folder(place)
    (trouble,) = folder.state()["trouble"]
    assert trouble["kind"] == "manifest" and not folder.state()["can_write"]
    with pytest.raises(EarmarkError, match="nothing is changed"):
        folder.label([id_of("bell/1.wav")], "wolf")
    assert (place / "earmark.csv").read_text() == text


def test_a_folder_that_vanishes_is_told_and_comes_back(place):
    folder = Folder(place)
    moved = place.rename(place.with_name("elsewhere"))
    assert folder.refresh() and folder.state()["trouble"][0]["kind"] == "gone"
    with pytest.raises(EarmarkError, match="not there"):
        folder.label([id_of("bell/1.wav")], "wolf")
    moved.rename(place)
    assert folder.refresh() and folder.state()["trouble"] == []


@pytest.mark.parametrize("label", ["", "  ", "a\nb", "\u202eab", "x" * 300])
def test_what_cannot_be_a_class_is_refused(place, label):
    with pytest.raises(EarmarkError, match="cannot be a class"):
        Folder(place).label([id_of("bell/1.wav")], label)


def test_classes_that_differ_in_case_are_one_mistake(place):
    folder = Folder(place)
    with pytest.raises(EarmarkError, match="a class 'dog' already"):
        folder.label([id_of("bell/1.wav")], "DOG")
    folder.rename_class("dog", "Dog")
    folder.rename_class("bell", "Dog")
    assert folder.state()["classes"][0]["n_clips"] == 4


def test_markup_is_a_label_like_others(place):
    folder = Folder(place)
    name = '<img src=x onerror=alert(1)> "quoted", ;'
    folder.label([id_of("bell/1.wav")], name)
    assert labels_of(place)["bell/1.wav"] == name


def test_links_are_not_followed(place, tmp_path):
    secret = sound(tmp_path / "secret.wav")
    (place / "bell" / "link.wav").symlink_to(secret)
    (place / "other").symlink_to(tmp_path)
    folder = Folder(place)
    assert folder.state()["counts"]["recordings"] == 4
    assert "Links are not followed" in folder.state()["trouble"][0]["detail"]
    (place / "earmark.csv").write_text("path,label\nbell/link.wav,a\n../secret.wav,b\n")
    folder.refresh()
    for path in ("bell/link.wav", "../secret.wav"):
        with pytest.raises(KeyError):
            folder.locate(id_of(path))


def test_regions_are_clips(place):
    folder = Folder(place)
    recording = id_of("bell/1.wav")
    region = folder.add_region(recording, 0.02, 0.05, "dog")["clip"]
    moved = folder.move_region(region["id"], 0.03, 0.06, None)["clip"]
    assert (moved["start"], moved["end"], moved["label"]) == (0.03, 0.06, "dog")
    assert folder.locate(moved["id"]).start == 0.03
    assert [clip["id"] for clip in folder.recording(recording)["regions"]] == [moved["id"]]
    assert folder.recordings(long=True)["total"] == 1
    folder.delete([moved["id"]])
    assert (place / "bell/1.wav").exists() and not folder.recording(recording)["regions"]
    with pytest.raises(EarmarkError, match="end must come after"):
        folder.add_region(recording, 2, 1, "dog")


def upload(to: Folder, content: bytes, **about) -> dict:
    id = to.begin_upload({"kind": "file", "name": "a.wav", "bytes": len(content), **about})
    to.append(id, 0, content)
    return to.finish_upload(id)


def test_files_that_are_dropped_keep_their_folders_and_never_replace_another(place, tmp_path):
    content = sound(tmp_path / "new.wav").read_bytes()
    folder = Folder(place)
    names = [upload(folder, content, folder="a/b", label="dog")["clip"]["place"] for _ in range(2)]
    assert names == ["recordings/a/b/a.wav", "recordings/a/b/a 2.wav"]
    assert labels_of(place)[names[1]] == "dog"
    upload(folder, content, name="A.WAV", folder="a/b")
    assert folder.state()["counts"]["unlabelled"] == 1


def test_a_piece_of_the_microphone_is_a_recording_with_its_take(place):
    folder = Folder(place)
    samples = (1_000 * np.sin(np.arange(4_800))).astype("<i2")
    about = {"kind": "pcm", "name": "bell", "rate_hz": 48_000, "label": "bell", "take": "t1"}
    id = folder.begin_upload(about)
    data = samples.tobytes()
    assert folder.append(id, 0, data[:4_000]) == 4_000
    assert folder.append(id, 2_000, data[2_000:6_000]) == 6_000  # sent again after a lost answer
    with pytest.raises(EarmarkError, match="Go on from there"):
        folder.append(id, 7_000, data[7_000:])
    folder.append(id, 6_000, data[6_000:])
    clip = folder.finish_upload(id)["clip"]
    read, rate = soundfile.read(place / clip["place"], dtype="int16")
    assert rate == 48_000 and np.array_equal(read, samples) and clip["take"] == "t1"


def test_a_piece_that_had_not_ended_is_kept_at_the_next_start(place):
    folder = Folder(place)
    id = folder.begin_upload({"kind": "pcm", "name": "x", "rate_hz": 8_000, "label": "bell"})
    folder.append(id, 0, bytes(8_001))
    again = Folder(place)
    assert "Kept 1 recording" in again.state()["trouble"][-1]["detail"]
    assert again.state()["classes"][0]["n_clips"] == 3


def test_a_full_disk_is_an_error_before_anything_is_written(place, monkeypatch):
    folder = Folder(place)
    usage = shutil.disk_usage(place)._replace(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="No space") as caught:
        folder.begin_upload({"kind": "file", "name": "a.wav", "bytes": 10})
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("../../etc/passwd.wav", "passwd.wav"),
        ("C:\\x\\y.wav", "y.wav"),
        ("a\r\nb.wav", "a__b.wav"),
        ("con.wav", "_con.wav"),
        (".hidden", "hidden"),
        ("...", "_"),
    ],
)
def test_names_are_those_of_files_in_one_folder(name, plain):
    assert plain_name(name) == plain
    assert plain_folder("../a/./b/../..") == "a/b"


@hypothesis.given(st.text(), st.text())
def test_no_name_leads_out(name, folder):
    place = Path(plain_folder(folder)) / plain_name(name)
    assert not place.is_absolute() and ".." not in place.parts
    assert len(os.fsencode(plain_name(name))) <= 155


def test_another_manifest_of_the_folder_is_read_once_it_is_asked_for(place):
    (place / "meta.csv").write_text("path,label,speaker\nbell/1.wav,gong,ann\ndog/1.wav,dog,bob\n")
    folder = Folder(place)
    (other,) = folder.state()["manifests"]
    folder.import_manifest(other["id"])
    assert folder.state()["columns"] == ["speaker"]
    assert labels_of(place) == {"bell/1.wav": "gong", "dog/1.wav": "dog"}
    folder.undo()
    assert labels_of(place)["bell/1.wav"] == "bell"


def test_a_manifest_that_a_command_wrote_is_taken_over(place, tmp_path):
    folder = Folder(place)
    folder.settle()
    fixed = place / "fixed.csv"
    fixed.write_text("path,label,group\nbell/1.wav,bell,g\ndog/1.wav,dog,g\n")
    out = {"path": str(place / "dog/2.wav"), "start": None, "end": None, "label": "dog"}
    folder.adopt(fixed, [{**out, "reason": "copies"}], "Left out 1 clip.")
    assert folder.clips(left_out=True)["clips"][0]["reason"] == "copies"
    clips = [{"path": str(place / "dog/2.wav"), "start": None, "end": None}]
    folder.ids_of(clips)
    assert clips[0]["id"] == id_of("dog/2.wav")
    folder.take_back([id_of("dog/2.wav")])
    assert labels_of(place)["dog/2.wav"] == "dog"


CHANGES = """
    import sys
    from earmark.apps.studio.folder import Folder
    folder = Folder(sys.argv[1])
    print("ready", flush=True)
    for n in range(10_000):
        for label in ("dog", "bell"):
            ids = [clip["id"] for clip in folder.clips(label=label)["clips"]]
            if ids:
                folder.label(ids[:1], f"{label}{n}")
                print(label, flush=True)
                folder.undo()
"""


@pytest.mark.parametrize("lines", [1, 4, 9])
def test_killed_at_any_moment_no_label_is_lost(place, lines):
    command = [sys.executable, "-c", textwrap.dedent(CHANGES), str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(lines):
            process.stdout.readline()
        process.kill()
    rows = read_rows(place / "earmark.csv", place) if lines > 1 else Folder(place)._rows
    assert [row.path for row in rows] == ["bell/1.wav", "bell/2.wav", "dog/1.wav", "dog/2.wav"]
    folder = Folder(place)
    assert folder.state()["trouble"] == []
    folder.label(ids(folder)[:1], "again")
    assert labels_of(place)["bell/1.wav"] == "again"
