"""The labels of an archive: each answer is kept at once, for several people, through any end."""

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from earmark.errors import DataError, EarmarkError
from earmark.labelling.decisions import ALL_COLUMNS, Decision, read_decisions
from earmark.labelling.labels import HEADER, LabelFile, labels_of

WHEN = "2026-11-27T10:00:00Z"


def owl(place: Path, start: float, word: str = "yes", **more) -> Decision:
    return Decision(
        place=str(place), start=start, end=start + 1, suggested="owl", word=word, **more
    )


def words(file: LabelFile) -> list[str]:
    return [f"{d.who}:{d.start:g}:{d.word}" for d in file.read().decisions]


def test_answers_are_appended_with_person_and_time(tmp_path):
    file = LabelFile(labels_of(tmp_path), "Ann")
    assert file.read().decisions == [] and not file.path.exists()
    kept = file.add(owl(tmp_path / "rec/a.wav", 1.0, evidence=0.5, chance=0.125))
    assert (kept.who, kept.when[-1]) == ("Ann", "Z")
    file.add(owl(tmp_path / "rec/a.wav", 2.0, "no", who="Eve", when=WHEN))
    lines = file.path.read_text().splitlines()
    assert lines[0].split(",") == list(ALL_COLUMNS)
    assert lines[1] == f"rec/a.wav,1.0,2.0,,owl,0.5000,yes,0.125,,Ann,{kept.when}"
    assert words(file) == ["Ann:1:yes", "Eve:2:no"]
    assert file.read().decisions[0].place == str(tmp_path / "rec/a.wav")
    assert len(read_decisions(file.path)) == 2  # it is a table as any other
    assert LabelFile(tmp_path / "x.csv").who


@pytest.mark.skipif(os.name != "posix", reason="folders are synchronised on POSIX only")
def test_an_answer_is_on_the_disk_when_it_is_added(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def record(file: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(file).st_mode))
        fsync(file)

    monkeypatch.setattr(os, "fsync", record)
    file = LabelFile(tmp_path / "labels.csv", "Ann")
    file.add(owl(tmp_path / "a.wav", 1.0))
    file.add(owl(tmp_path / "a.wav", 2.0))
    assert synced == [False, True, False]  # the file, its folder once, the file


def test_undo_takes_back_the_last_answers_of_one_person(tmp_path):
    ann, ben = (LabelFile(tmp_path / "labels.csv", who) for who in ("Ann", "Ben"))
    assert ann.undo() is None and not ann.path.exists()
    for start, word in ((1, "yes"), (2, "yes"), (2, "no")):
        ann.add(owl(tmp_path / "a.wav", start, word))
    ben.add(owl(tmp_path / "a.wav", 3))
    back = ann.undo()
    assert back is not None and (back.start, back.word) == (2, "no")
    assert words(ann) == ["Ann:1:yes", "Ann:2:yes", "Ben:3:yes"]
    assert [ann.undo().start, ann.undo().start, ann.undo()] == [2, 1, None]
    assert words(ann) == ["Ben:3:yes"]
    ann.add(owl(tmp_path / "a.wav", 1, "no"))
    assert words(ann) == ["Ben:3:yes", "Ann:1:no"]


def test_people_who_contradict_each_other_are_listed(tmp_path):
    ann, ben = (LabelFile(tmp_path / "labels.csv", who) for who in ("Ann", "Ben"))
    ann.add(owl(tmp_path / "a.wav", 1))
    ben.add(owl(tmp_path / "a.wav", 1, "no"))
    ben.add(owl(tmp_path / "a.wav", 2))
    labels = ann.read()
    assert [(a.who, b.who) for a, b in labels.contradictions] == [("Ann", "Ben")]
    assert words(ann) == ["Ben:2:yes"]


def test_a_line_that_was_cut_off_is_left_out_and_the_next_one_is_whole(tmp_path):
    file = LabelFile(tmp_path / "labels.csv", "Ann")
    file.add(owl(tmp_path / "a,b.wav", 1.0, chance=0.125))
    file.add(owl(tmp_path / "a,b.wav", 2.0, chance=0.125))
    whole = file.path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for left in range(len(last)):
        file.path.write_bytes(whole[: len(whole) - len(last) + left])
        is_kept = left == len(last) - 1  # only the end of the line is missing
        labels = file.read()
        assert len(labels.decisions) == 1 + is_kept
        assert len(labels.notes) == (left > 0 and not is_kept)
        file.add(owl(tmp_path / "a,b.wav", 3.0))
        labels = file.read()
        assert [d.start for d in labels.decisions] == [1.0, *[2.0] * is_kept, 3.0]
        assert len(labels.notes) == (left > 0 and not is_kept)
        assert all("line 3 is left out" in note for note in labels.notes)


def test_a_tail_of_zeros_is_left_out(tmp_path):
    file = LabelFile(tmp_path / "labels.csv", "Ann")
    file.add(owl(tmp_path / "a.wav", 1.0))
    with file.path.open("ab") as out:
        out.write(bytes(500))
    file.add(owl(tmp_path / "a.wav", 2.0))
    assert words(file) == ["Ann:1:yes", "Ann:2:yes"] and len(file.read().notes) == 1


def test_a_header_that_was_cut_off_is_written_again(tmp_path):
    file = LabelFile(tmp_path / "labels.csv", "Ann")
    for left in range(len(HEADER)):
        file.path.write_bytes(HEADER[:left])
        assert file.read().decisions == []
        file.add(owl(tmp_path / "a.wav", 1.0))
        assert words(file) == ["Ann:1:yes"] and not file.read().notes


def test_names_of_files_may_have_line_breaks(tmp_path):
    file = LabelFile(tmp_path / "labels.csv", "Ann\u2028B")
    for start, name in enumerate(
        ("a\nb.wav", 'c"\r\nd.wav', "e\u2028f\x0b.wav", os.fsdecode(b"\xe9"))
    ):
        file.add(owl(tmp_path / name, start))
    labels = file.read()
    assert [Path(d.place).name for d in labels.decisions] == [
        "a\nb.wav", 'c"\r\nd.wav', "e\u2028f\x0b.wav", os.fsdecode(b"\xe9")
    ]  # fmt: skip
    assert not labels.notes


def test_columns_of_other_programs_stay_and_may_be_in_any_order(tmp_path):
    path = tmp_path / "labels.csv"
    names = ["note", *reversed(ALL_COLUMNS)]
    path.write_text(f"{','.join(names)}\nloud,{WHEN},Ben,,,no,,owl,,2,1,a.wav\n\n")
    file = LabelFile(path, "Ann")
    file.add(owl(tmp_path / "a.wav", 5.0))
    assert words(file) == ["Ben:1:no", "Ann:5:yes"]
    assert path.read_text().splitlines()[-1].startswith(",")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,start\na.wav,1\n", "no column 'end'"),
        (b"path;start;end\n", "no commas"),
        (b"path,start,end,label,suggested,evidence,decision\n", "no column 'chance'.*--apply"),
        (b"RIFF\0\0\0\0WAVE", "no column 'path'"),
        (b"\xff\xfe\n", "no column"),
    ],
)
def test_what_is_no_table_of_labels_is_refused_and_left_alone(tmp_path, content, message):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    file = LabelFile(path, "Ann")
    for call in (file.read, file.check, lambda: file.add(owl(tmp_path / "a.wav", 1))):
        with pytest.raises(DataError, match=message):
            call()
    assert path.read_bytes() == content


@pytest.mark.parametrize("when", ["2026-11-27 10:00", "11/27/2026 10:00:00 AM", "27.11.26 10:00"])
def test_a_table_that_a_spreadsheet_has_saved_keeps_its_answers(tmp_path, when):
    file = LabelFile(labels_of(tmp_path), "Ann")
    file.add(owl(tmp_path / "a.wav", 1.0, when=WHEN))
    text = file.path.read_text().replace(WHEN, when).replace("\n", "\r\n")
    file.path.write_bytes(b"\xef\xbb\xbf" + f"{text}{',' * (len(ALL_COLUMNS) - 1)}\r\n".encode())
    assert words(file) == ["Ann:1:yes"] and file.read().notes == []
    file.add(owl(tmp_path / "a.wav", 2.0, "no"))
    assert words(file) == ["Ann:1:yes", "Ann:2:no"] and file.read().notes == []


def test_a_table_without_the_column_of_contents_is_read_and_added_to(tmp_path):
    file = LabelFile(tmp_path / "labels.csv", "Ann")
    columns = [name for name in ALL_COLUMNS if name != "content"]
    row = f"a.wav,1.0,2.0,,owl,0.5,yes,,Ann,{WHEN}"
    file.path.write_text(f"{','.join(columns)}\n{row}\n")
    file.add(owl(tmp_path / "a.wav", 2.0, content="0123456789abcdef"))
    assert words(file) == ["Ann:1:yes", "Ann:2:yes"] and file.read().notes == []
    assert [d.content for d in file.read().decisions] == ["", ""]


def test_answers_on_two_contents_of_a_recording_contradict_nobody(tmp_path):
    ann, eve = (LabelFile(tmp_path / "labels.csv", who) for who in ("Ann", "Eve"))
    ann.add(owl(tmp_path / "a.wav", 1.0, content="0" * 16))
    eve.add(owl(tmp_path / "a.wav", 1.0, "no", content="1" * 16))
    assert words(ann) == ["Ann:1:yes", "Eve:1:no"] and not ann.read().contradictions
    ann.add(owl(tmp_path / "a.wav", 1.0, content="1" * 16))
    assert len(ann.read().contradictions) == 1


def test_damaged_rows_are_named_and_the_others_count(tmp_path):
    file = LabelFile(tmp_path / "labels.csv", "Ann")
    file.add(owl(tmp_path / "a.wav", 1.0))
    with file.path.open("a") as out:
        out.write(f"a.wav,x,2,,owl,,yes,,Ann,{WHEN}\n" + f"a.wav,1,2,,owl,,yes,,,{WHEN}\n")
        out.write("a.wav,3,4,,owl,,yes,,Ann,yesterday\n" + 'a.wav,"3,4\n')
    file.add(owl(tmp_path / "a.wav", 2.0))
    assert words(file) == ["Ann:1:yes", "Ann:2:yes"]
    assert [note.partition("csv, ")[2].partition(" is")[0] for note in file.read().notes] == [
        "line 3", "line 4", "line 5", "line 6"
    ]  # fmt: skip


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "labels.csv").mkdir()
    file = LabelFile(tmp_path / "labels.csv", "Ann")
    for call in (file.read, file.check, lambda: file.add(owl(tmp_path / "a.wav", 1))):
        with pytest.raises(DataError, match="folder"):
            call()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs permissions of POSIX")
def test_a_place_that_cannot_be_written_is_said_with_the_way_out(tmp_path, monkeypatch):
    file = LabelFile(tmp_path / "labels.csv", "Ann")
    file.add(owl(tmp_path / "a.wav", 1.0))

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    for call in (file.check, lambda: file.add(owl(tmp_path / "a.wav", 1))):
        with pytest.raises(EarmarkError, match="Read-only file system.*--labels FILE"):
            call()
    monkeypatch.undo()
    assert words(file) == ["Ann:1:yes"]


def test_many_writers_lose_no_answer(tmp_path, monkeypatch):
    path, inside = tmp_path / "labels.csv", list[int]()
    append = LabelFile._append

    def alone(*arguments) -> None:
        inside.append(1)
        assert len(inside) == 1
        time.sleep(0)  # let another thread run
        append(*arguments)
        inside.pop()

    monkeypatch.setattr(LabelFile, "_append", alone)

    def label(who: str) -> None:
        file = LabelFile(path, who)
        for start in range(20):
            file.add(owl(tmp_path / f"{who}.wav", start))

    threads = [threading.Thread(target=label, args=(who,)) for who in ("Ann", "Ben", "Cyd")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(words(LabelFile(path)))) == 60 and not LabelFile(path).read().notes
    assert path.read_bytes().count(HEADER) == 1


KILLED = """
import os, signal, sys
from earmark.labelling.decisions import Decision
from earmark.labelling.labels import LabelFile
file = LabelFile(sys.argv[1], "Ann")
for start in range(3):
    file.add(Decision(place="/a.wav", start=start, end=start + 1, suggested="owl", word="yes"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_no_answer(tmp_path):
    path = tmp_path / "labels.csv"
    done = subprocess.run([sys.executable, "-c", KILLED, path])
    assert done.returncode < 0
    assert words(LabelFile(path)) == ["Ann:0:yes", "Ann:1:yes", "Ann:2:yes"]
    LabelFile(path, "Ben").add(owl(tmp_path / "a.wav", 9))  # its lock is gone with it
