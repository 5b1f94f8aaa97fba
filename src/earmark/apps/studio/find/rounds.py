"""Rounds of labels: a dozen windows that are asked, and the answers, which are kept at once.

A round is a file in ``.studio/rounds``, and its answers are the labels of the archive. So a page
that is loaded again, and a studio that was killed, go on with the same windows.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from earmark.apps.studio.folder.names import checked_label
from earmark.apps.studio.mistakes import ConflictError
from earmark.apps.studio.places import PRIVATE
from earmark.errors import DataError, EarmarkError
from earmark.labelling.decisions import ANSWERS, UNDO, WORDS, Decision
from earmark.labelling.labels import LabelFile, Labels, labels_of
from earmark.system.files import open_file, write_whole
from earmark.system.jsons import json_text
from earmark.system.text import one_line

COUNT = 12  # windows of a round
MOST_ROUNDS = 200  # files that are kept, the latest
MOST_BYTES = 1 << 22  # of the file of a round
AGAIN = "again"  # why a window is asked: its answer was taken back
Asked = dict[str, Any]  # a window of a round: recording, start, end, score, why, chance


class Rounds:
    """The rounds of a folder. Methods read and write files, so call them in a thread.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._place = folder / PRIVATE / "rounds"
        self._lock = threading.Lock()

    def open(self, archive: Path, name: str, who: str) -> dict[str, Any] | None:
        """Return the round of a person that is not answered yet, or None.

        It is as :meth:`begin` returns it.
        """
        kept = self._read(archive, name, who)
        if kept is None:
            return None
        shown = _shown(kept, _file(archive, who), name)
        is_over = all(asked["answer"] for asked in shown["proposals"])
        return None if is_over else shown

    def begin(self, archive: Path, name: str, who: str, answer: dict[str, Any]) -> dict[str, Any]:
        """Keep a new round, as the process proposed it.

        Returns
        -------
        dict
            ``round``, its id; ``proposals``, each with its ``answer`` ('' without one);
            ``standing``; ``notes``; ``contradictions``, pairs of answers on one stretch.
        """
        file = _file(archive, who)
        file.check()
        value = {"round": secrets.token_hex(8), "standing": answer["standing"]}
        value |= {"notes": answer["notes"], "proposals": answer["proposals"]}
        self._write(archive, name, who, value)
        return _shown(value, file, name)

    def answer(
        self, archive: Path, name: str, who: str, round: str, number: int, word: str
    ) -> dict[str, Any]:
        """Keep an answer: 'yes', 'no', 'skip' or another class; return the word that was kept.

        Raises ConflictError if the round is over or another one, EarmarkError if the answer cannot
        be written.
        """
        kept = self._read(archive, name, who)
        if kept is None or kept["round"] != round or not number < len(kept["proposals"]):
            raise ConflictError("another round has begun in the meantime. Reload the page.")
        asked, file = kept["proposals"][number], _file(archive, who)
        if word not in ANSWERS:
            word = class_of(word, _classes(file.read()))
        file.add(
            Decision(
                place=asked["recording"]["place"],
                start=asked["start"],
                end=asked["end"],
                suggested=name,
                evidence=asked["score"],
                chance=asked["chance"],
                content=asked["recording"]["digest"],
                word="yes" if word == name else word,
            )
        )
        return {"answer": word}

    def undo(self, archive: Path, name: str, who: str) -> dict[str, Any] | None:
        """Take back the last answer of a person, and ask for it again; None if there is none.

        Returns the ``word``, the class that was asked (``name``), and the ``round`` as it is then,
        if it is of this class, with the ``number`` of the window in it.
        """
        file = _file(archive, who)
        with self._lock:
            if not _has_answered(file):
                return None
            taken = file.undo()
            if taken is None:
                return None
            said = {"word": taken.word, "name": taken.suggested}
            kept = self._read(archive, name, who)
            if taken.suggested != name or kept is None:
                return {**said, "round": None}
            own = [number for number, asked in enumerate(kept["proposals"]) if _is(asked, taken)]
            if not own:  # of an earlier round
                kept["proposals"].insert(0, _again(taken))
                self._write(archive, name, who, kept)
                own = [0]
        return {**said, "round": _shown(kept, file, name), "number": own[0]}

    def _path(self, archive: Path, name: str, who: str) -> Path:
        key = json.dumps([archive.name, name, who]).encode()
        return self._place / f"{hashlib.sha256(key).hexdigest()[:32]}.json"

    def _read(self, archive: Path, name: str, who: str) -> dict[str, Any] | None:
        """Return a round as it was written; None if there is none, or it is damaged."""
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
            with open_file(self._path(archive, name, who)) as file:
                value = json.loads(file.read(MOST_BYTES))
            for asked in value["proposals"]:
                place, _ = str(asked["recording"]["place"]), str(asked["recording"]["path"])
                asked["start"], asked["end"] = float(asked["start"]), float(asked["end"])
                digest = str(asked["recording"].get("digest", ""))  # one of before has none
                asked["recording"] |= {"place": place, "digest": digest}
            return dict(value)
        return None

    def _write(self, archive: Path, name: str, who: str, value: dict[str, Any]) -> None:
        path = self._path(archive, name, who)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = sorted(path.parent.glob("*.json"), key=lambda each: each.stat().st_mtime_ns)
            for old in kept[:-MOST_ROUNDS]:
                old.unlink()
        except OSError as error:
            raise EarmarkError(
                f"cannot keep the round in {path.parent}: {error.strerror}. Free some space, or"
                " check its permissions."
            ) from error
        write_whole(path, json_text(value).encode())


def class_of(name: str, classes: Sequence[str] = ()) -> str:
    """Return the name of a class as labels have it; DataError if it cannot be one."""
    if name.strip().casefold() in (*WORDS, UNDO):
        raise DataError(f"'{one_line(name.strip())}' is an answer. Give the class another name.")
    return checked_label(name, classes)


def classes_in(archive: Path) -> dict[str, dict[str, int]]:
    """Return how many windows of an archive are labelled as each class, and as not being it."""
    counts: dict[str, dict[str, int]] = {}
    labels = LabelFile(labels_of(archive)).read()
    for name in _classes(labels):
        about = [decision.about(name) for decision in labels.decisions]
        counts[name] = {"yes": about.count(True), "no": about.count(False)}
    return counts


def _classes(labels: Labels) -> list[str]:
    """Return the classes of labels in the order of their first answers."""
    names: dict[str, None] = {}
    for decision in labels.decisions:
        for name in (decision.suggested, decision.word if decision.names_class else ""):
            if name:
                names[name] = None
    return list(names)


def _file(archive: Path, who: str) -> LabelFile:
    return LabelFile(labels_of(archive), who or None)


def _shown(kept: dict[str, Any], file: LabelFile, name: str) -> dict[str, Any]:
    """Return a round of the class ``name`` with the answers that its person has given since."""
    labels = file.read()
    given = [*(d for pair in labels.contradictions for d in pair), *labels.decisions]
    own = (d for d in given if d.who == file.who and d.suggested == name)
    words = {decision.stretch: decision for decision in own}
    proposals = [
        {**asked, "answer": _word(asked, words.get(_stretch(asked)))} for asked in kept["proposals"]
    ]
    against = [
        [{k: v for k, v in asdict(d).items() if k in _TOLD} for d in pair]
        for pair in labels.contradictions
    ]
    return {
        **kept,
        "proposals": proposals,
        "notes": [*kept["notes"], *labels.notes],
        "contradictions": against,
    }


_TOLD = ("place", "start", "end", "suggested", "word", "who")


def _word(asked: Asked, decision: Decision | None) -> str:
    """Return the answer on a window; one on another content of the recording is none."""
    if decision is None or not decision.is_about(asked["recording"].get("digest", "")):
        return ""
    return decision.word


def _stretch(asked: Asked) -> tuple[str, float, float]:
    return asked["recording"]["place"], round(asked["start"], 6), round(asked["end"], 6)


def _is(asked: Asked, decision: Decision) -> bool:
    return _stretch(asked) == decision.stretch


def _has_answered(file: LabelFile) -> bool:
    """Return whether the last label of a person is an answer, and not an example that was given."""
    own = [decision for decision in file.read().decisions if decision.who == file.who]
    return bool(own) and own[-1].evidence is not None


def _again(decision: Decision) -> Asked:
    """Return the window of an answer that was taken back."""
    name = os.path.basename(decision.place)
    recording = {"path": name, "place": decision.place, "dataset": "", "seconds": None}
    return {
        "recording": {**recording, "is_gone": False, "columns": {}, "digest": decision.content},
        "start": decision.start or 0.0,
        "end": decision.end or 0.0,
        "score": decision.evidence,
        "chance": decision.chance,
        "why": AGAIN,
    }
