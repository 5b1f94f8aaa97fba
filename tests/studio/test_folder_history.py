"""Changes of the studio's folder: undone exactly, and never half made, whatever happens."""

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

import studio_changes_victim
from earmark.apps.studio.folder import ledger as ledgers
from earmark.apps.studio.folder.folder import Folder
from earmark.apps.studio.mistakes import DiskFullError
from earmark.errors import EarmarkError
from studio_folders import copy_of, id_of, ids, labels, picture, record, shown, sounds

NAMES = ("bell/1.wav", "bell/2.wav", "dog/1.wav", "dog/2.wav")


@pytest.fixture
def place(tmp_path):
    """Two classes of two recordings each, and one without a label beside them."""
    return sounds(tmp_path / "sounds", *NAMES, "rest.wav")


def undone(folder: Folder) -> int:
    """Undo everything; return how much there was."""
    count = 0
    while folder.state()["undo"]:
        folder.undo()
        count += 1
    return count


@hypothesis.given(seed=st.integers(0, 10**9), steps=st.integers(1, 25))
@hypothesis.settings(
    max_examples=6, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)
def test_after_any_changes_commands_read_what_is_shown_and_undo_leads_back(
    tmp_path_factory, seed, steps
):
    place = sounds(tmp_path_factory.mktemp("s"), *NAMES, "rest.wav")
    folder, dice = Folder(place), random.Random(seed)
    folder.settle()
    pictures = [picture(folder)]
    for _ in range(steps):
        before = folder.state()["undo"], folder.version
        try:
            studio_changes_victim.changes(folder, dice)
        except (EarmarkError, IndexError):
            assert before == (folder.state()["undo"], folder.version)
            continue
        pictures.append(picture(folder))
        if shown(folder):
            assert labels(place) == shown(folder)
    last = pictures[-1]
    folder = Folder(place)  # as after a restart
    assert picture(folder) == last
    n = undone(folder)
    assert picture(folder) == pictures[0]
    assert picture(Folder(place)) == pictures[0]
    for _ in range(n):
        folder.redo()
    assert picture(folder) == last


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_nothing_is_lost(place, seed):
    lines = random.Random(seed).randrange(5, 60)
    command = [sys.executable, "-m", "studio_changes_victim", str(place), str(seed)]
    folders = [Path(studio_changes_victim.__file__).parent, Path(ledgers.__file__).parents[3]]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    said = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        for _ in range(lines):
            said.append(process.stdout.readline())
        process.kill()
        said += process.stdout.readlines()
    n_sent = sum(line.startswith("sent") for line in said)
    folder = Folder(place)
    assert all(one["kind"] == "recovered" for one in folder.state()["trouble"])
    if shown(folder):
        assert labels(place) == shown(folder)
    assert all(clip["error"] is None for clip in folder.clips(count=1_000)["clips"])
    kept = [path for path in place.rglob("*.wav") if path.name.startswith("piece")]
    assert len(kept) == n_sent  # in the folder or in the trash, and none twice
    assert len([p for p in place.rglob("*.wav") if not p.name.startswith("piece")]) == 5
    undone(folder)
    assert sorted(shown(folder).items()) == [((name, 0.0, None), name[:-6]) for name in NAMES]
    assert folder.state()["counts"] | {"clips": 0} == {
        "recordings": 5, "labelled": 4, "unlabelled": 1, "left_out": 0, "clips": 0,
    }  # fmt: skip


class Stopped(BaseException):
    """What a crash looks like to the code around it; nothing is cleaned up after it."""


def crashes(folder: Folder, change, tmp_path):
    """Yield a copy of the folder as it is before each step of a change on the disk."""
    copies = []

    def snapshot(*_):
        copies.append(copy_of(folder.path, tmp_path / f"crash{len(copies)}"))

    real = {name: getattr(os, name) for name in ("replace", "fsync")}

    def watched(name):
        def call(*given, **more):
            snapshot()
            return real[name](*given, **more)

        return call

    for name in real:
        setattr(os, name, watched(name))
    try:
        change()
    finally:
        for name, call in real.items():
            setattr(os, name, call)
    snapshot()
    return copies


CHANGES = {
    "label": lambda f: f.label(ids(f)[:3], "fox"),
    "leave out": lambda f: f.leave_out(ids(f)[:2], "loud"),
    "take back": lambda f: f.take_back(ids(f, left_out=True)),
    "delete": lambda f: f.delete(ids(f)[:2]),
    "record": lambda f: record(f, "x", "fox", take="t"),
    "undo": lambda f: f.undo(),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_crash_at_any_step_leaves_the_folder_as_before_or_as_after(place, tmp_path, kind):
    folder = Folder(place)
    folder.leave_out([id_of(folder, "dog/2.wav")], "x")
    folder.delete([id_of(folder, "rest.wav")])
    before = picture(folder)
    copies = crashes(folder, lambda: CHANGES[kind](folder), tmp_path)
    after = picture(folder)
    assert len(copies) >= 3
    seen = []
    for copy in copies:
        lines = [*(copy / "earmark.csv").open(), *(copy / "left-out.csv").open()]
        assert kind == "delete" or {line.partition(",")[0] for line in lines} >= set(NAMES)
        again = Folder(copy)
        seen.append(picture(again))
        assert seen[-1] in (before, after) or kind == "record"  # then it is kept, and told
        assert labels(copy) == shown(again)
        undone(again)
        assert list(labels(copy).values()) == ["bell", "bell", "dog", "dog"]
    assert seen[-1] == after


def test_a_full_disk_changes_nothing(place, monkeypatch):
    folder = Folder(place)
    folder.leave_out([id_of(folder, "dog/2.wav")], "x")
    before = picture(folder), files_of(place), folder.state()["undo"]
    real = os.fsync
    for step in range(3):  # the history, the first table, the second
        count = 0

        def full(handle, step=step):
            nonlocal count
            count += 1
            if count > step:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(handle)

        monkeypatch.setattr(os, "fsync", full)
        for change in (
            lambda: folder.leave_out([id_of(folder, "dog/1.wav")], "y"),
            lambda: folder.take_back(ids(folder, left_out=True)),
        ):
            count = 0
            with pytest.raises(DiskFullError, match="the disk is full. Nothing was changed"):
                change()
            assert (picture(folder), files_of(place), folder.state()["undo"]) == before
    monkeypatch.setattr(os, "fsync", real)
    folder.take_back(ids(folder, left_out=True))
    assert labels(place) == shown(folder) and len(shown(folder)) == 4
    undone(folder)
    assert picture(folder) == picture(Folder(place))


def files_of(place: Path) -> dict[str, bytes]:
    inside = [path for path in place.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path): path.read_bytes() for path in inside}


def test_an_unlabelled_stretch_and_a_rename_of_all_come_back_in_their_places(place):
    folder = Folder(place)
    folder.settle()
    before = (place / "earmark.csv").read_bytes()
    folder.rename_class("bell", "dog")
    folder.label(ids(folder)[1:3], None)
    folder.label(ids(folder, unlabelled=True), "ant")
    undone(folder)
    assert (place / "earmark.csv").read_bytes() == before
    assert [c["name"] for c in folder.state()["classes"]] == ["bell", "dog"]


def test_a_new_change_forgets_what_was_undone(place):
    folder = Folder(place)
    folder.label(ids(folder)[:1], "fox")
    folder.undo()
    folder.label(ids(folder)[:1], "cow")
    assert folder.state()["redo"] is None
    with pytest.raises(EarmarkError, match="nothing to redo"):
        folder.redo()
    folder.undo()
    with pytest.raises(EarmarkError, match="nothing to undo"):
        folder.undo()


@pytest.mark.parametrize("tail", [b'{"do": {"num', b"\x00\xff\n", b"[]\n", b'{"undo": 99}\n'])
def test_a_damaged_history_costs_only_the_undoing(place, tail):
    folder = Folder(place)
    folder.label(ids(folder)[:1], "fox")
    with (place / ".studio/history.jsonl").open("ab") as file:
        file.write(tail)
    folder = Folder(place)
    assert next(iter(labels(place).values())) == "fox"
    folder.label(ids(folder)[1:2], "cow")
    folder = Folder(place)
    folder.undo()
    assert [*labels(place).values()][:2] == ["fox", "bell"]


def test_a_long_history_is_shortened_to_its_last_changes(place, monkeypatch):
    monkeypatch.setattr("earmark.apps.studio.folder.history.MOST_BYTES", 8_000)
    folder = Folder(place)
    for k in range(40):
        folder.label(ids(folder)[:1], f"class {k}")
    path = place / ".studio/history.jsonl"
    assert path.stat().st_size < 9_000
    folder = Folder(place)
    n = undone(folder)
    assert 3 < n < 40 and next(iter(labels(place).values())) == f"class {39 - n}"
    numbers = [json.loads(line).get("end", 0) for line in path.read_text().splitlines()]
    assert max(numbers) == 40
