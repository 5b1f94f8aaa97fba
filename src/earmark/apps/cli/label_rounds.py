"""Rounds of labels in a terminal: each window is shown and played, and each answer kept at once."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from earmark.apps.cli import signals
from earmark.apps.cli.label_text import present, proposal_text, standing_text
from earmark.apps.cli.text import say, show
from earmark.errors import EarmarkError, amount, did_you_mean

if TYPE_CHECKING:
    from earmark.apps.cli.playback import Player
    from earmark.labelling.decisions import Decision
    from earmark.labelling.labels import LabelFile
    from earmark.labelling.rounds import LabelRound, LabelSession, Proposal
    from earmark.labelling.standing import Standing

WORDS = ("yes", "no", "skip", "undo", "replay", "quit")
KEYS = {word[0]: word for word in WORDS} | {word: word for word in WORDS}
QUESTION = "y(es), n(o), s(kip), u(ndo), r(eplay), q(uit), or the name of another class"


@dataclass
class Dialogue:
    """Asks about windows until the person quits, the input ends or no window is left.

    Attributes
    ----------
    session : LabelSession
        What proposes windows and keeps answers.
    name : str
        The class.
    file : LabelFile
        Where the answers are kept.
    count : int
        The most windows of a round.
    player : Player or None
        What plays them.
    allow_remote : bool
        Whether recordings elsewhere may be fetched to play them.
    is_quiet : bool
        Whether to speak on standard error, because standard output is for JSON.
    """

    session: LabelSession
    name: str
    file: LabelFile
    count: int
    player: Player | None = None
    allow_remote: bool = False
    is_quiet: bool = False
    kept: int = 0  # answers of this run
    standing: Standing | None = None
    notes: list[str] = field(default_factory=list)
    _done: list[Proposal] = field(default_factory=list)
    _classes: set[str] = field(default_factory=set)
    _is_explained: bool = False

    def run(self) -> None:
        """Go through rounds. After each, and at the end, the standing is printed."""
        try:
            while True:
                current = self._next_round()
                queue, before = present(current.proposals), self.kept
                if not queue:
                    self._tell("No window is left to ask about.")
                    return
                if not self._ask_all(queue):
                    break
        except KeyboardInterrupt:
            if sys.stdin is not None and sys.stdin.isatty():
                self._tell("")  # the cursor is behind the question
            say(f"{amount(self.kept, 'answer')} of this run in {self.file.path}")
            raise
        if self.kept != before:
            self._finish()

    def _finish(self) -> None:
        """Print the standing after the last answers, if there is one."""
        try:
            self._next_round()
        except EarmarkError:  # the only example was undone
            self._tell(f"{amount(self.kept, 'answer')} of this run in {self.file.path}")

    def _next_round(self) -> LabelRound:
        from earmark.labelling.importing import classes_of

        current = self.session.next_round(self.count)
        self._classes = {self.name, *classes_of(self.file.read().decisions)}
        for note in current.notes:
            if note not in self.notes:
                say(f"note: {note}")
                self.notes.append(note)
        self.standing = current.standing
        if current.standing.answers:
            self._tell(*standing_text(current.standing, self.name, self.file.path))
        return current

    def _ask_all(self, queue: list[Proposal]) -> bool:
        """Ask about windows one by one; return whether all of them were answered."""
        k = 0
        while k < len(queue):
            self._show(queue[k], k + 1, len(queue))
            word = self._word(queue[k])
            if word in ("", "quit"):
                return False
            if word == "undo":
                k = self._undo(queue, k)
                continue
            with signals.held():
                self.session.answer(queue[k], word)
                self.kept += 1
            self._done.append(queue[k])
            k += 1
        return True

    def _undo(self, queue: list[Proposal], k: int) -> int:
        """Take back the last answer of this run; return the number of the window to ask about."""
        back = None
        with signals.held():
            if self._done:
                back = self.session.undo()
        if back is None:
            self._tell("     There is no answer of this run to take back.")
            return k
        self.kept -= 1
        self._tell(f"     Took back {back.word!r} on {_stretch_text(back)}.")
        queue[max(0, k - 1) : k] = [self._done.pop()]
        return max(0, k - 1)

    def _word(self, proposal: Proposal) -> str:
        """Return an answer; empty at the end of the input."""
        while True:
            text = self._ask(f"     {self.name}? ")
            if text is None:
                return ""
            key = KEYS.get(text.lower(), text)
            if key == "replay":
                self._play(proposal)
            elif key in WORDS:
                return key
            elif not text:
                self._tell(f"     Give {QUESTION}.")
            elif self._is_class(text):
                return "yes" if text == self.name else text

    def _is_class(self, name: str) -> bool:
        """Return whether a text names a class; a new one is asked back, as it may be a typo."""
        from earmark.labelling.importing import is_reserved

        if name in self._classes:
            return True
        if is_reserved(name):
            self._tell(f"     {name!r} cannot be the name of a class here. Give {QUESTION}.")
            return False
        near = did_you_mean(name, self._classes)
        answer = self._ask(f"     There is no class {name!r} so far.{near} Is it a new class? y/n ")
        is_new = (answer or "").lower() in ("y", "yes")
        if is_new:
            self._classes.add(name)
        return is_new

    def _ask(self, prompt: str) -> str | None:
        """Read one line and strip it. Returns None when the input has ended."""
        stream = sys.stdin
        terminal = stream is not None and stream.isatty()
        output: TextIO | None = sys.stderr if self.is_quiet else sys.stdout
        if terminal and output is not None:
            output.write(_encodable(prompt, output))
            output.flush()
        try:
            line = "" if stream is None else stream.readline()
        except UnicodeDecodeError as error:
            raise EarmarkError("an answer is not text in UTF-8. Send answers as UTF-8.") from error
        if not terminal:
            self._tell(f"{prompt}{line.strip()}")
        elif not line:
            self._tell("")  # the cursor is behind the prompt
        return line.strip() if line else None

    def _show(self, proposal: Proposal, number: int, count: int) -> None:
        if self.player is not None and self.player.problem is not None:
            say(f"note: {self.player.problem}; the stretch is not played")
            self.player.problem = None
        self._tell(proposal_text(proposal, number, count))
        if not self._is_explained:
            self._is_explained = True
            self._tell(f"     Is it {self.name!r}? Answer {QUESTION}.")
        self._play(proposal)

    def _play(self, proposal: Proposal) -> None:
        from earmark.apps.cli.playback import MARGIN_S
        from earmark.labelling.example import Example
        from earmark.system.objects import is_uri

        place = proposal.recording.place
        if self.player is None:
            return
        if is_uri(place) and not self.allow_remote:
            self.player.problem = f"{place} is elsewhere, and --allow-remote is not given"
            return
        end = proposal.end + MARGIN_S
        end = min(end, proposal.recording.seconds or end)
        self.player.play(Example(place).source, max(0.0, proposal.start - MARGIN_S), end)

    def _tell(self, *lines: str) -> None:
        (say if self.is_quiet else show)(*lines)


def _stretch_text(decision: Decision) -> str:
    place, start, end = decision.stretch
    return f"{place}  {start:.2f}..{'' if end is None else f'{end:.2f}'} s"


def _encodable(text: str, stream: TextIO) -> str:
    from earmark.system.text import one_line

    encoding = getattr(stream, "encoding", None) or "utf-8"
    return one_line(text).encode(encoding, "backslashreplace").decode(encoding)


def player_or_note() -> Player | None:
    """Return what plays stretches for a person at a terminal; say so if nothing can."""
    from earmark.apps.cli.playback import PROGRAMS, Player, find_program

    if sys.stdin is None or not sys.stdin.isatty():
        return None
    command = find_program()
    if command is None:
        say(
            f"note: this machine has none of {', '.join(PROGRAMS)} to play with. Listen at the"
            " place that is shown, or write clips with -o ROUND.csv --clips DIR."
        )
    return None if command is None else Player(command)
