"""Undoing that has become impossible is passed over, and the trash does not grow without end."""

import os
import time

import pytest

from earmark.apps.studio.folder import trash
from earmark.apps.studio.folder.folder import Folder
from earmark.apps.studio.mistakes import ConflictError
from studio_folders import id_of, ids, labels, picture, shown, sound, two_classes

DAY_S = 86_400


@pytest.fixture
def place(tmp_path):
    return two_classes(tmp_path / "sounds")


@pytest.fixture
def folder(place):
    return Folder(place)


def aged(place, name, days):
    """Let a recording have been deleted so many days ago."""
    (found,) = (place / ".studio/trash").rglob(name)
    top = place / ".studio/trash" / found.relative_to(place / ".studio/trash").parts[0]
    os.utime(top, (time.time() - days * DAY_S,) * 2)


def in_trash(place):
    return sorted(path.name for path in (place / ".studio/trash").rglob("*.wav"))


def test_a_change_that_cannot_be_undone_says_why_and_is_passed_over(folder, place):
    folder.label([id_of(folder, "bell/1.wav")], "gong")
    folder.label([id_of(folder, "dog/1.wav")], "wolf")
    table = place / "earmark.csv"
    table.write_text(table.read_text().replace("wolf", "cow"))
    with pytest.raises(ConflictError) as refused:
        folder.undo()
    assert "“Labelled 1 clip 'wolf'” cannot be undone: 'dog/1.wav' was changed" in str(
        refused.value
    )
    assert "Undo again goes on with the change before it." in str(refused.value)
    assert folder.state()["undo"] == "Labelled 1 clip 'gong'."
    folder = Folder(place)  # as after a restart
    folder.undo()
    assert list(labels(place).values()) == ["bell", "bell", "cow", "dog"]
    table.write_text(table.read_text().replace("bell/1.wav,,,bell", "bell/1.wav,,,tick"))
    with pytest.raises(ConflictError, match="cannot be done again") as refused:
        folder.redo()
    assert "again goes on" not in str(refused.value) and folder.state()["redo"] is None
    assert Folder(place).state() | {"version": 0} == folder.state() | {"version": 0}


def test_what_was_deleted_long_ago_goes_for_good_and_its_undo_says_so(folder, place):
    folder.label([id_of(folder, "bell/1.wav")], "gong")
    folder.delete([id_of(folder, "dog/1.wav")])
    folder.delete([id_of(folder, "dog/2.wav")])
    aged(place, "1.wav", 31)
    aged(place, "2.wav", 29)
    assert in_trash(place) == ["1.wav", "2.wav"]
    folder = Folder(place)
    assert in_trash(place) == ["2.wav"]
    folder.undo()
    assert (place / "dog/2.wav").exists()
    before = picture(folder)
    with pytest.raises(ConflictError, match="'dog/1.wav' is not in the trash any more.* 30 days"):
        folder.undo()
    assert picture(folder) == before and labels(place) == shown(folder)
    folder.undo()
    assert list(labels(place).values()) == ["bell", "bell", "dog"]
    assert not in_trash(place)


def test_a_full_trash_loses_its_oldest_but_nothing_of_the_last_day(place, monkeypatch):
    for name in ("old.wav", "older.wav", "new.wav"):
        sound(place / name)
    monkeypatch.setattr(trash, "KEPT_BYTES", 2_000)  # each has 1,644
    folder = Folder(place)
    for name, days in (("old.wav", 2), ("older.wav", 3), ("new.wav", 0.5)):
        folder.delete([id_of(folder, name)])
        aged(place, name, days)
    Folder(place)
    assert in_trash(place) == ["new.wav"]
    folder.delete(ids(folder)[:2])
    Folder(place)
    assert len(in_trash(place)) == 3, "what was just deleted stays, whatever its size"


def test_the_trash_is_emptied_by_a_studio_that_runs_on(place, monkeypatch):
    folder = Folder(place)
    folder.delete([id_of(folder, "dog/1.wav")])
    aged(place, "1.wav", 31)
    folder.delete([id_of(folder, "dog/2.wav")])
    assert len(in_trash(place)) == 2  # it was looked at a moment ago
    monkeypatch.setattr(trash, "EVERY_S", -1)
    folder.delete([id_of(folder, "bell/1.wav")])
    assert len(in_trash(place)) == 2


def test_nothing_outside_is_deleted_through_a_link(folder, place, tmp_path):
    folder.delete([id_of(folder, "dog/1.wav")])
    elsewhere = tmp_path / "elsewhere"
    sound(elsewhere / "a" / "x.wav")
    os.utime(elsewhere / "a", (0, 0))
    (place / ".studio/trash/link").symlink_to(elsewhere / "a")
    Folder(place)
    assert (elsewhere / "a" / "x.wav").exists()
    (place / ".studio/trash").rename(tmp_path / "trash")
    (place / ".studio/trash").symlink_to(elsewhere)
    Folder(place)
    assert (elsewhere / "a" / "x.wav").exists()
