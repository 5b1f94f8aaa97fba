"""``earmark label`` on an archive: rounds, tables, several people, and what is refused."""

import csv
import json
import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from command_line import Done, earmark
from earmark.apps.cli import signals
from earmark.data.dataset import Dataset
from earmark.labelling.labels import LabelFile
from earmark.labelling.rounds import LabelSession

pytest.importorskip("pyarrow")
RATE_HZ = 16_000
NOBODY = 65_534
OWLS = {"north/1.wav": (5, 14), "north/2.wav": (12,), "south/1.wav": (3, 10)}  # seconds


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Noise with tones of 1.5 s at known places, their archive, and an example."""
    root, rng = tmp_path_factory.mktemp("label"), np.random.default_rng(0)
    t = np.arange(int(1.5 * RATE_HZ)) / RATE_HZ
    for name, starts in OWLS.items():
        x = 0.02 * rng.normal(size=20 * RATE_HZ)
        for start in starts:
            x[start * RATE_HZ :][: len(t)] += 0.3 * np.sin(2 * np.pi * 800 * t)
        (root / "nights" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / "nights" / name, x, RATE_HZ)
    x = 0.3 * np.sin(2 * np.pi * 800 * t[:RATE_HZ]) + 0.02 * rng.normal(size=RATE_HZ)
    soundfile.write(root / "owl.wav", x, RATE_HZ)
    table = "path,site\nnorth/1.wav,north\nnorth/2.wav,north\nsouth/1.wav,south\n"
    (root / "sites.csv").write_text(table)
    index = ("index", root / "nights", "-o", root / "archive", "--table", root / "sites.csv")
    earmark(*index, "--backbone", "logmel")
    return root


@pytest.fixture
def place(made, tmp_path, monkeypatch) -> Path:
    """A copy without labels."""
    shutil.copytree(made / "archive", tmp_path / "archive")
    shutil.copy(made / "owl.wav", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def label(*options: object, keys: str = "", expect: int = 0) -> Done:
    stdin = "".join(f"{key}\n" for key in keys.split())
    return earmark("label", "archive", *options, stdin=stdin, expect=expect)


OWL = ("--class", "owl")
FIRST = (*OWL, "--like", "owl.wav")


def labels() -> list[dict[str, str]]:
    with Path("archive/labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def is_owl(row: dict[str, str]) -> bool:
    own = OWLS["/".join(Path(row["path"]).parts[-2:])]
    middle = (float(row["start"]) + float(row["end"])) / 2
    return any(start <= middle <= start + 1.5 for start in own)


def fill_in(path: str, answer=lambda row: "yes" if is_owl(row) else "no") -> int:
    with Path(path).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["decision"] == "" for row in rows)
    with Path(path).open("w", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows({**row, "decision": answer(row)} for row in rows)
    return len(rows)


def test_rounds_at_a_terminal_find_the_class(place):
    blanks = ("--class", " owl ", "--like", "owl.wav")
    done = label(*blanks, "--count", 3, "--who", "Ann", keys="y n s y")
    first, *lines = done.stdout.splitlines()
    assert first.startswith(f"1 answer on 'owl' in {place / 'archive/labels.csv'} covers 0 windows")
    asked = [line for line in lines if line.lstrip()[1:3] == "/3"]
    assert len(asked) == 5 and "/nights/" in asked[0] and "  site=" in asked[0]
    assert lines.count("     owl? y") == 2 and lines[-1].startswith("Go on")
    assert "4 answers on 'owl'" in done.stdout
    own = labels()
    assert [row["decision"] for row in own] == ["yes", "yes", "no", "skip", "yes"]
    assert own[0]["path"] == "../owl.wav" and {row["who"] for row in own} == {"Ann"}
    again = json.loads(label(*OWL, "--json").stdout)  # the example was kept
    assert (again["answers"], again["class"], again["proposals"] if 0 else None) == (4, "owl", None)
    assert again["labels"] == str(place / "archive/labels.csv") and again["notes"] == []


def test_rounds_as_tables_find_every_planted_sound(place):
    for number in range(4):
        name = f"round{number}.csv"
        done = label(*(OWL if number else FIRST), "-o", name, "--json", "--group", "site")
        printed = json.loads(done.stdout)
        assert printed["round"] == name and len(printed["proposals"]) == fill_in(name)
        with Path(name).open(newline="") as file:
            chances = [float(row["chance"] or "nan") for row in csv.DictReader(file)]
        proposed = [np.nan if p["chance"] is None else p["chance"] for p in printed["proposals"]]
        assert np.array_equal(chances, proposed, equal_nan=True) and np.isfinite(chances).any()
        applied = json.loads(label("--apply", name, "--json").stdout)
        assert (applied["taken"], applied["known"], applied["class"]) == (12, 0, None)
    assert all(len(row["content"]) == 16 for row in labels()[1:])
    found = {
        ("/".join(Path(row["path"]).parts[-2:]), start)
        for row in labels()[1:]
        if row["decision"] == "yes"
        for start in OWLS["/".join(Path(row["path"]).parts[-2:])]
        if start - 1 <= float(row["start"]) <= start + 1.5
    }
    assert found == {(name, start) for name, starts in OWLS.items() for start in starts}
    again = label("--apply", "round0.csv")
    assert "0 new answers of round0.csv" in again.stdout and "(12 more" in again.stdout
    assert json.loads(label(*OWL, "--json").stdout)["answers"] == 49


def test_a_round_as_a_table_says_what_to_do_with_it(place):
    table = ("--count", 2, "-o", "r.csv", "--clips", "out")
    done = label(*FIRST, "--labels", "my labels.csv", "--who", "Ann Lee", *table)
    assert f"-> {Path('r.csv')}; fill in the column decision" in done.stdout
    command = done.stdout.rpartition("then run:  ")[2].strip()
    first = "earmark label archive --labels 'my labels.csv' --class owl"
    assert command == f"{first} --who 'Ann Lee' --apply r.csv"
    assert len(list(Path("out/owl").iterdir())) == 2 and not Path("archive/labels.csv").exists()
    fill_in("r.csv", lambda row: "wren" if float(row["start"]) < 0 else "")
    done = earmark("label", "archive", "--labels", "my labels.csv", *OWL, "--apply", "r.csv")
    assert "0 new answers" in done.stdout and "2 rows without an answer" in done.stdout
    assert "r.csv already exists" in label(*OWL, "-o", "r.csv", expect=2).stderr


def test_the_labels_become_a_manifest_that_train_reads(place):
    assert "has no window with a class" in label("--manifest", "c.csv", expect=2).stderr
    for number in range(2):
        label(*(OWL if number else FIRST), "-o", f"{number}.csv")
        fill_in(f"{number}.csv")
        done = label("--apply", f"{number}.csv", "--manifest", "clips.csv", "--group", "site")
    assert " clips -> clips.csv" in done.stdout
    data = Dataset.read("clips.csv")
    assert {clip.group for clip in data} == {"north", "south"} and len(data) == 24
    for clip in data:
        row = {"path": clip.place, "start": str(clip.start), "end": str(clip.end)}
        assert clip.label == ("owl" if is_owl(row) else "other")
    assert "owl.wav" in done.stderr  # the example is not of the archive


def test_a_class_of_a_table_that_is_new_must_be_named(place):
    label(*FIRST, "--count", 2, "-o", "r.csv")
    fill_in("r.csv", lambda _: "wren")
    done = label("--apply", "r.csv", expect=2)
    assert "row 2: the class 'wren' is new here" in done.stderr and len(labels()) == 1
    assert "2 new answers" in label("--apply", "r.csv", "--new", "wren").stdout


def test_a_review_reads_a_table_of_label_and_label_one_of_a_review(place, made):
    label(*FIRST, "--count", 4, "-o", "r.csv")
    fill_in("r.csv")
    with Path("r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    clips = [[row["path"], row["start"], row["end"], "rain"] for row in rows]
    table = [["path", "start", "end", "label"], *clips, ["owl.wav", "", "", "owl"]]
    Path("clips.csv").write_text("".join(",".join(row) + "\n" for row in table))
    done = earmark("review", "clips.csv", "--apply", "r.csv", "-o", "corrected.csv", "--json")
    owls = sum(map(is_owl, rows))
    assert json.loads(done.stdout)["relabelled"] == owls > 0
    header = "path,start,end,label,suggested,evidence,decision\n"
    own = [
        f"{','.join(clip)},owl,0.9,{'relabel' if k else 'keep'}\n" for k, clip in enumerate(clips)
    ]
    Path("decisions.csv").write_text(header + "".join(own))
    assert "4 new answers" in label("--apply", "decisions.csv").stdout
    standing = json.loads(label(*OWL, "--json").stdout)
    assert (standing["answers"], standing["negatives"]) == (5, 1)


def test_two_people_label_at_once_and_contradictions_are_listed(place):
    label(*FIRST, "--count", 3, "-o", "r.csv", "--who", "Ann")
    shutil.copy("r.csv", "s.csv")
    fill_in("r.csv", lambda _: "yes")
    fill_in("s.csv", lambda row: "no" if is_owl(row) else "yes")
    label("--apply", "r.csv", "--who", "Ann")
    done = label(*OWL, "--apply", "s.csv", "--who", "Ben", "--json")
    printed = json.loads(done.stdout)
    assert any("Ann says yes" in note and "Ben says no" in note for note in printed["notes"])
    assert all(f"note: {note}" in done.stderr for note in printed["notes"])
    assert sorted(row["who"] for row in labels()) == ["Ann"] * 4 + ["Ben"] * 3


def test_the_input_ends_or_is_stopped_in_the_middle(place, monkeypatch):
    assert label(*FIRST, keys="y").stdout.count("owl? ") == 2
    assert len(labels()) == 2

    def answer(session: LabelSession, *arguments: object) -> object:
        decision = once(session, *arguments)
        if len(labels()) == 4:
            signals._run.stop(signal.SIGINT, None)  # a real one would meet other tests
        return decision

    once = LabelSession.answer
    monkeypatch.setattr(LabelSession, "answer", answer)
    done = label(*OWL, keys="y n y", expect=130)
    assert len(labels()) == 4 and "2 answers of this run in" in done.stderr
    assert "run the same command again to continue" in done.stderr


def test_what_is_missing_or_excluded_is_said(place):
    for options, words in (
        ((), "--class is missing"),
        (("-o", "r.csv"), "--class is missing"),
        ((*OWL,), "nobody has found an example of 'owl'"),
        ((*OWL, "--like", "none.wav"), "none.wav does not exist"),
        ((*FIRST, "--clips", "x"), "--clips needs -o"),
        ((*FIRST, "-o", "r.csv", "--margin", "1"), "--margin needs --clips"),
        ((*FIRST, "--new", "wren"), "--new needs --apply"),
        ((*FIRST, "-o", "r.txt"), "ends in .csv"),
        ((*FIRST, "--where", "place=x"), "has a column 'place'. Its columns are"),
        ((*FIRST, "--group", "sites"), "no recording of the archive has a column 'sites'"),
        ((*FIRST, "--backbone", "yamnet"), "has no windows of yamnet"),
        ((*FIRST, "--labels", "none/none/labels.csv"), "needs the folder none/none"),
        ((*FIRST, "--labels", "owl.wav"), "no column 'path'"),
        (("--apply", "owl.wav"), "is neither a folder nor a manifest"),
        (("--apply", "none.csv"), "none.csv does not exist"),
    ):
        done = label(*options, expect=2)
        assert words in done.stderr and "Traceback" not in done.stderr, options
    assert "is not an archive" in earmark("label", ".", *FIRST, expect=2).stderr
    assert not Path("archive/labels.csv").exists() and not list(Path().glob("r.*"))


def test_an_archive_of_another_version_says_so_if_an_example_must_be_heard(place):
    with sqlite3.connect("archive/archive.sqlite") as db:
        (settings,) = db.execute("SELECT settings FROM network").fetchone()
        value = json.loads(settings)
        name, version, _, precision = value["fingerprint"].split("/")
        other = f"{name}/{version}/other/{precision}"
        db.execute("UPDATE network SET settings = ?", [json.dumps(value | {"fingerprint": other})])
    db.close()
    done = label(*FIRST, expect=2)
    assert f"computed with {other}" in done.stderr and "index` again" in done.stderr
    assert not Path("archive/labels.csv").exists()


def test_what_is_gone_is_named_and_not_asked_about_and_its_answers_are_kept(made, tmp_path):
    shutil.copytree(made / "nights", tmp_path / "nights")
    archive = tmp_path / "archive"
    index = ("index", tmp_path / "nights", "-o", archive, "--backbone", "logmel")
    earmark(*index)
    like = f"{tmp_path / 'nights/north/1.wav'}:5-6"
    earmark("label", archive, *OWL, "--like", like, "--count", 1, stdin="y\n")
    for name in ("1", "2"):
        (tmp_path / f"nights/north/{name}.wav").unlink()
    done = earmark("label", archive, *OWL, stdin="n\n" * 12)  # it was not indexed again
    assert "gone, and not asked about. Run `earmark index` again" in done.stderr
    earmark(*index)
    done = earmark("label", archive, *OWL, "-o", tmp_path / "r.csv", "--json")
    assert {Path(p["path"]).parent.name for p in json.loads(done.stdout)["proposals"]} == {"south"}
    assert "north/1.wav'" in done.stderr and "gone. The answers are kept." in done.stderr
    kept = LabelFile(archive / "labels.csv").read().decisions
    assert kept[0].place == str(tmp_path / "nights/north/1.wav")


def test_an_example_that_is_gone_is_named_and_the_rounds_go_on(place):
    label(*FIRST, "--count", 2, keys="y y")
    Path("owl.wav").unlink()
    printed = json.loads(label(*OWL, "--json").stdout)
    assert printed["answers"] == 2
    assert "An example cannot be heard, and is left out" in printed["notes"][0]
    lines = Path("archive/labels.csv").read_text().splitlines(keepends=True)
    Path("archive/labels.csv").write_text("".join(lines[:2]))
    assert "owl.wav: cannot be opened" in label(*OWL, expect=2).stderr
    Path("archive/labels.csv").write_text(lines[0] + lines[1].replace(",yes,", ",ye") * 5)
    error = label(*OWL, expect=2).stderr
    assert "nobody has found" in error and error.count("is left out: it is not whole") == 3


def test_when_no_window_is_left_the_rounds_end(place):
    done = label(*FIRST, "--count", 500, keys="n " * 200)
    assert done.stdout.endswith("No window is left to ask about.\n")
    assert json.loads(label(*OWL, "--json", "-o", "r.csv").stdout)["proposals"] == []
    assert Path("r.csv").read_text().count("\n") == 1


def test_a_damaged_table_of_labels_keeps_its_whole_lines(place):
    label(*FIRST, keys="y n")
    with Path("archive/labels.csv").open("ab") as file:
        file.write(b"../nights/north/1.wav,1.0,2.0,,owl,0.9,ye")
    done = label(*OWL, keys="y")
    assert "line 5 is left out: it is not whole" in done.stderr
    assert len(LabelFile("archive/labels.csv").read().decisions) == 4
    Path("archive/labels.csv").write_bytes(b"\x00\x01\x02")
    assert "no column 'path'" in label(*OWL, expect=2).stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root becomes another")
def test_an_archive_on_a_read_only_place_needs_a_file_of_labels_elsewhere(made):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(made / "nights", root / "nights")
        index = ("index", root / "nights", "-o", root / "archive", "--backbone", "logmel")
        earmark(*index)
        shutil.copy(made / "owl.wav", root)
        (root / "mine").mkdir()
        for path in (root, *root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        (root / "mine").chmod(0o777)
        os.seteuid(NOBODY)
        try:
            first = ("label", root / "archive", *OWL, "--like", root / "owl.wav", "--count", 2)
            done = earmark(*first, stdin="y\ny\n", expect=2)
            assert "Permission denied" in done.stderr and "with --labels FILE" in done.stderr
            done = earmark(*first, "--labels", root / "mine/l.csv", "-o", root / "mine/r.csv")
            assert "2 windows -> " in done.stdout
        finally:
            os.seteuid(0)


@pytest.mark.slow
def test_a_killed_process_loses_no_answer(place):
    command = [sys.executable, "-m", "earmark", "label", "archive", *FIRST, "--count", "3"]
    pipe = subprocess.PIPE
    expected = 1  # the example
    for keys in (1, 4, 2):  # within the first round, after it, and in a later run
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        for _ in range(keys):
            process.stdin.write("n\n")
            process.stdin.flush()
        expected += keys
        deadline = time.monotonic() + 60
        while not Path("archive/labels.csv").exists() or len(labels()) < expected:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.communicate()
        assert [row["decision"] for row in labels()] == ["yes"] + ["no"] * (expected - 1)
    assert json.loads(label(*OWL, "--json").stdout)["answers"] == expected


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_ctrl_c_at_a_real_terminal_keeps_answers_and_ends_the_player(place):
    import fcntl
    import pty
    import termios

    for name in ("bin", "temporary"):
        (place / name).mkdir()
    player = place / "bin/aplay"
    player.write_text(f"#!/bin/sh\necho $$ >> {place}/played\nexec sleep 60\n")
    player.chmod(0o755)

    def take_terminal() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a job in the background ignores it
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    there, here = pty.openpty()
    changes = {"PATH": f"{place}/bin:{os.environ['PATH']}", "TMPDIR": f"{place}/temporary"}
    process = subprocess.Popen(
        [sys.executable, "-m", "earmark", "label", "archive", *FIRST, "--count", "3"],
        stdin=here, stdout=here, stderr=here, start_new_session=True, env=os.environ | changes,
        preexec_fn=take_terminal,
    )  # fmt: skip
    os.close(here)
    text = b""

    def wait_for(word: bytes) -> None:
        nonlocal text
        while not text.endswith(word):
            assert select.select([there], [], [], 60)[0]
            text += os.read(there, 4_096)

    try:
        wait_for(b"owl? ")
        os.write(there, b"y\n")
        wait_for(b"owl? y\r\n")
        wait_for(b"owl? ")
        deadline = time.monotonic() + 60
        while not Path("played").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.write(there, b"\x03")
        wait_for(b"continue from here.\r\n")
        assert process.wait(60) == 130
    finally:
        process.kill()
        os.close(there)
    assert b"1 answer of this run in" in text and len(labels()) == 2
    for number in map(int, Path("played").read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)
    assert not list(Path("temporary").glob("earmark.*"))
