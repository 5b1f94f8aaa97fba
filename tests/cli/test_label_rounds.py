"""The questions of ``earmark label``: keys, other classes, undo, ends of the input, playback."""

import io
import os
import stat
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from earmark.apps.cli import playback
from earmark.apps.cli.label_rounds import Dialogue, player_or_note
from earmark.apps.cli.label_text import standing_json, standing_text
from earmark.apps.cli.playback import Player, find_program
from earmark.audio.source import FileSource
from earmark.embeddings.archive import ArchiveRecording
from earmark.labelling.decisions import Decision
from earmark.labelling.estimates import Interval
from earmark.labelling.labels import LabelFile
from earmark.labelling.standing import Standing

RATE_HZ = 8_000


class Rounds:
    """A session that proposes windows 0, 1, 2 ... of one recording, two a round."""

    def __init__(self, place: Path, file: LabelFile, rounds: int = 2) -> None:
        self.place, self.file, self.left, self.next = place, file, rounds, 0
        self.standings = 0

    def next_round(self, count: int) -> SimpleNamespace:
        self.standings += 1
        decisions = self.file.read().decisions
        proposals = ()
        if self.left:
            proposals = tuple(map(self._proposal, range(self.next, self.next + 2)))
            self.next, self.left = self.next + 2, self.left - 1
        standing = SimpleNamespace(
            answers=len(decisions), positives=sum(d.about("owl") is True for d in decisions),
            negatives=sum(d.about("owl") is False for d in decisions), threshold=0.5,
            precision=SimpleNamespace(value=0.75, low=0.5, high=1.0), found=9, is_enough=False,
            unseen=SimpleNamespace(value=7.4, low=1, high=1_200), advice="Go on.",
            total=SimpleNamespace(value=1, low=0.6, high=1.2),
        )  # fmt: skip
        return SimpleNamespace(proposals=proposals, standing=standing, notes=("a note",))

    def _proposal(self, number: int) -> SimpleNamespace:
        own = ArchiveRecording("nights", "a.wav", str(self.place), 1, 60.0, columns={"site": "n"})
        return SimpleNamespace(row=number, recording=own, start=float(number), end=number + 1.0,
                               score=0.25, why="uncertain", chance=None)  # fmt: skip

    def answer(self, proposal, word: str) -> Decision:
        return self.file.add(
            Decision(place=proposal.recording.place, start=proposal.start, end=proposal.end,
                     suggested="owl", evidence=proposal.score, word=word)
        )  # fmt: skip

    def undo(self) -> Decision | None:
        return self.file.undo()


class Keys(io.StringIO):
    """A terminal at which a person types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    file = LabelFile(tmp_path / "labels.csv", "Ann")
    (tmp_path / "a.wav").touch()

    def run(*lines: str, stream=io.StringIO, **options) -> tuple[Dialogue, list[str], str]:
        text = "".join(f"{line}\n" for line in lines)
        monkeypatch.setattr(sys, "stdin", stream(text))
        session = Rounds(tmp_path / "a.wav", file)
        dialogue = Dialogue(session, "owl", file, 12, **options)
        dialogue.run()
        answers = [f"{d.start:g}:{d.word}" for d in file.read().decisions]
        return dialogue, answers, capsys.readouterr().out

    return run


def test_each_key_is_an_answer_and_every_round_ends_with_its_standing(ask):
    dialogue, answers, text = ask("y", "No", "  skip ", "YES")
    assert answers == ["0:yes", "1:no", "2:skip", "3:yes"]
    assert dialogue.kept == 4 and dialogue.standing.answers == 4
    lines = text.splitlines()
    assert lines[0].split("  ")[2:5] == ["0.250", dialogue.session.place.as_posix(), "0.00..1.00 s"]
    assert lines[0].startswith("  1/2  ") and lines[0].endswith("  site=n  (uncertain)")
    assert "2 answers on 'owl'" in text and " cover 2 windows of the archive: 1 yes, 1 no" in text
    assert "4 answers on 'owl'" in text and " cover 3 windows of the archive: 2 yes, 1 no" in text
    assert "9 windows without an answer score 0.50 or more; 75 % (50 to 100 %) of them are" in text
    assert "about 7 events (1 to 1,200) of 'owl'; in all about 1 event (1 to 1)." in text
    assert text.endswith("Go on.\nNo window is left to ask about.\n")


def test_no_share_is_said_of_no_windows():
    standing = Standing(5, 3, 4, 0.5, 0, Interval(0.6, 0.1, 0.9), None, None, "Go on.", False)
    assert standing_text(standing, "owl", Path("l.csv")) == [
        "5 answers on 'owl' in l.csv cover 7 windows of the archive: 3 yes, 4 no",
        "0 windows without an answer score 0.50 or more.",
        "Go on.",
    ]
    printed = standing_json(standing)
    assert printed["precision"] == {"value": 0.6, "ci95": [0.1, 0.9]} and printed["total"] is None


def test_quit_and_the_end_of_the_input_keep_what_was_answered(ask):
    dialogue, answers, text = ask("y", "q", "y")
    assert answers == ["0:yes"] and "1 answer on 'owl'" in text
    dialogue, answers, _ = ask("n")
    assert answers == ["0:no"] and dialogue.standing.answers == 1
    dialogue, answers, text = ask()
    assert answers == ["0:no"] and dialogue.session.standings == 1  # nothing is new


def test_another_class_is_asked_back_once_so_that_a_typo_makes_no_class(ask):
    _, answers, text = ask("wren", "y", "wrne", "n", "wren", "owl", "q")
    assert answers == ["0:wren", "1:wren", "2:yes"]
    assert "no class 'wrne' so far. Did you mean 'wren'?" in text
    _, answers, text = ask("wren", "robin", stream=io.StringIO)  # ended within the question
    assert "0:wren" in answers and "robin" not in "".join(answers)
    assert text.count("so far") == 1  # wren is known by now


def test_recordings_that_are_gone_are_named_and_not_asked_about(ask, tmp_path):
    (tmp_path / "a.wav").unlink()
    _, answers, text = ask("y", "y")
    assert answers == [] and text == "No window is left to ask about.\n"


def test_words_of_decisions_are_no_classes(ask):
    _, answers, text = ask("keep", "drop", "", "y", "q")
    assert answers == ["0:yes"] and "'keep' cannot be the name of a class" in text


def test_undo_asks_again_even_about_the_last_round(ask):
    _, answers, text = ask("y", "u", "n", "y", "y", "u", "u", "n", "u", "u", "y", "n", "n", "n")
    assert answers == ["0:yes", "1:no", "2:no", "3:no"]
    assert text.count("Took back 'yes'") == 3 and text.count("Took back 'no'") == 2
    _, answers, text = ask("u", "u", "u", "u", "u", "q")
    assert answers == ["0:yes", "1:no", "2:no", "3:no"]  # of the run before
    assert text.count("There is no answer of this run to take back.") == 5


def test_ctrl_c_keeps_what_was_answered(ask, monkeypatch, tmp_path, capsys):
    class Stopping(io.StringIO):
        def readline(self):
            if self.tell() > 2:
                raise KeyboardInterrupt
            return super().readline()

    with pytest.raises(KeyboardInterrupt):
        ask("y", "n", "y", stream=Stopping)
    assert "2 answers of this run in" in capsys.readouterr().err
    assert len(LabelFile(tmp_path / "labels.csv").read().decisions) == 2


def test_standard_output_stays_free_for_json(ask):
    assert ask("y", "q", is_quiet=True)[2] == ""


# Playback


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def wait_for(happened) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def sound(tmp_path) -> Path:
    x = np.linspace(0, 0.5, 3 * RATE_HZ)
    soundfile.write(tmp_path / "a.wav", np.stack([x, -x], 1), RATE_HZ)
    return tmp_path / "a.wav"


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


posix = pytest.mark.skipif(os.name != "posix", reason="needs scripts of a shell")


@posix
def test_the_stretch_is_played_and_its_copy_is_deleted(tmp_path, sound):
    script = program(tmp_path, "aplay", f'cp "$2" {tmp_path}/copy.wav && touch {tmp_path}/played')
    with Player([str(script), "-q"]) as player:
        player.play(FileSource(sound), 1.0, 1.5)
        wait_for((tmp_path / "played").exists)
        wait_for(lambda: not list((tmp_path / "temporary").iterdir()))
    x, rate_hz = soundfile.read(tmp_path / "copy.wav", dtype="int16")
    whole, _ = soundfile.read(sound, dtype="int16")
    assert rate_hz == RATE_HZ and np.abs(x - whole[RATE_HZ : RATE_HZ * 3 // 2]).max() <= 1
    assert player.problem is None


@posix
def test_a_new_stretch_and_the_end_of_the_command_end_the_one_before(tmp_path, sound):
    script = program(tmp_path, "aplay", f"echo $$ >> {tmp_path}/played; exec sleep 60")
    played = tmp_path / "played"

    def numbers() -> list[int]:
        return list(map(int, played.read_text().split())) if played.exists() else []

    def is_ended(number: int) -> bool:
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        return False

    with Player([str(script)]) as player:
        player.play(FileSource(sound), 0.0, 1.0)
        wait_for(lambda: len(numbers()) == 1)
        player.play(FileSource(sound), 1.0, 2.0)
        wait_for(lambda: len(numbers()) == 2)
        assert is_ended(numbers()[0]) and not is_ended(numbers()[1])
    assert is_ended(numbers()[1]) and player.problem is None
    assert not list((tmp_path / "temporary").iterdir())


@posix
def test_an_answer_does_not_wait_for_the_stretch_to_be_cut(tmp_path, sound, monkeypatch):
    cutting, may_end = threading.Event(), threading.Event()

    def cut(*_):
        cutting.set()
        assert may_end.wait(30)

    monkeypatch.setattr(playback, "cut", cut)
    with Player([str(program(tmp_path, "aplay", f"touch {tmp_path}/played"))]) as player:
        player.play(FileSource(sound), 0.0, 1.0)
        assert cutting.wait(30)
        player.stop()  # the next question
        may_end.set()
    assert not (tmp_path / "played").exists() and not list((tmp_path / "temporary").iterdir())


@posix
def test_a_player_that_fails_is_named(tmp_path, sound):
    with Player([str(program(tmp_path, "aplay", "exit 3"))]) as player:
        player.play(FileSource(sound), 0.0, 1.0)
        wait_for(lambda: player.problem)
        assert player.problem == "aplay ended with exit code 3"
    with Player([str(tmp_path / "none")]) as player:
        player.play(FileSource(tmp_path / "gone.wav"), 0.0, 1.0)
        wait_for(lambda: player.problem)
        assert "gone.wav" in player.problem


@posix
def test_a_person_at_a_terminal_hears_each_window_with_a_margin(ask, sound, tmp_path, monkeypatch):
    played = []
    monkeypatch.setattr(Player, "play", lambda _, source, a, b: played.append((source.name, a, b)))
    with Player(["aplay"]) as player:
        _, answers, text = ask("r", "y", "q", stream=Keys, player=player)
    assert answers == ["0:yes"]
    assert played == [(str(sound), 0.0, 1.5)] * 2 + [(str(sound), 0.5, 2.5)]
    assert text.count("owl? ") == 3


@posix
def test_the_first_program_that_is_there_plays(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", Keys(""))
    assert find_program() is None and player_or_note() is None
    assert "none of ffplay, afplay, aplay, paplay, play" in capsys.readouterr().err
    program(tmp_path, "play", "")
    assert find_program() == [str(tmp_path / "play"), "-q"]
    program(tmp_path, "ffplay", "")
    player = player_or_note()
    assert player is not None and player.command[:2] == [str(tmp_path / "ffplay"), "-nodisp"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert player_or_note() is None and capsys.readouterr().err == ""  # nobody listens
    assert set(playback.PROGRAMS) >= {"afplay", "paplay"}
