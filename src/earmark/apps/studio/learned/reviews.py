"""Reviews of labels: the suspects that a job has found, the decisions on them, and their use."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from earmark.apps.studio.jobs.commands import command, command_text
from earmark.apps.studio.jobs.results import review_record
from earmark.apps.studio.places import DECISIONS
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.other_columns import other_columns
from earmark.data.tables import Table, read_table
from earmark.errors import EarmarkError, amount, did_you_mean, listed
from earmark.labelling import corrections, decisions
from earmark.system.files import open_file, write_whole
from earmark.system.text import to_bytes, to_csv

MOST_RECORD_BYTES = 1 << 28
CORRECTED = "corrected.csv"


class Adopts(Protocol):
    """What of a folder of the studio is needed here."""

    path: Path

    def ids_of(self, clips: Iterable[dict[str, Any]]) -> None: ...

    def adopt(
        self, manifest: Path, left_out: Sequence[dict[str, Any]] = (), said: str = ""
    ) -> dict[str, Any]: ...


class Reviews:
    """The reviews of a folder. Decisions are in ``decisions/NAME.csv``, as the command wrote it.

    A row is named by its number in that file, as a spreadsheet shows it. Methods read and write
    files, so call them in a thread; several may be called at once.
    """

    def __init__(self, folder: Adopts) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Return the names of all reviews, the newest first."""
        place = self.folder.path / DECISIONS
        found = []
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    is_csv = entry.name.endswith(".csv") and not entry.name.startswith(".")
                    if is_csv and entry.is_file(follow_symlinks=False):
                        found.append((-entry.stat().st_mtime_ns, entry.name[: -len(".csv")]))
        except OSError:
            return []
        return [name for _, name in sorted(found)]

    def read(self, name: str) -> dict[str, Any]:
        """Return a review as the page shows it; KeyError if there is none of this name.

        Its ``suspects`` are the rows of the decisions file. Reasons and neighbours are those that
        the job printed; a file that the command line wrote has none.
        """
        table = self._table(name)
        record = self._record(name)
        result = record.get("result") or {}
        told = {_key(suspect): suspect for suspect in result.get("suspects") or ()}
        suspects, clips = [], []
        for number, row in table.rows:
            clip = self._clip(table, row)
            known = told.get(_key({**clip, "suggested": row.get("suggested")}), {})
            near = [dict(neighbour) for neighbour in known.get("neighbours") or ()]
            clips += [clip, *near]
            suspects.append(
                {
                    "row": number,
                    "clip": clip,
                    "suggested": row.get("suggested") or None,
                    "evidence": _number(row.get("evidence")),
                    "reason": known.get("reason"),
                    "neighbours": near,
                    "decision": str(row.get("decision") or "").strip(),
                }
            )
        self.folder.ids_of(clips)
        for clip in clips:
            clip["name"] = Path(clip.pop("path")).name
            clip.setdefault("id", None)
        apply = command(self.folder.path, "apply", {"name": name})
        return {
            "name": name,
            "model": (record.get("choices") or {}).get("model"),
            "command": command_text(apply),
            "verdict": result.get("verdict"),
            "suspects": suspects,
        }

    def decide(self, name: str, row: int, decision: str) -> dict[str, Any]:
        """Write a decision into its cell: '', keep, relabel, drop, or a class of the data.

        Returns how many are ``decided`` of how many (``total``). Raises KeyError if there is no
        such review or row, EarmarkError for a decision that is not possible.
        """
        word = decision.strip()
        with self._lock:
            table = self._table(name)
            rows = {number: dict(cells) for number, cells in table.rows}
            if row not in rows:
                raise KeyError(row)
            self._check(word, rows[row])
            rows[row]["decision"] = word
            cells = [[_cell(cells.get(c)) for c in table.columns] for cells in rows.values()]
            write_whole(self._path(name), to_bytes(to_csv([table.columns, *cells])))
        decided = sum(bool(str(cells.get("decision") or "").strip()) for cells in rows.values())
        return {"decided": decided, "total": len(rows), "decision": word}

    def apply(self, name: str) -> dict[str, Any]:
        """Change the labels of the folder as the decisions say, as one change that can be undone.

        Returns what :meth:`Folder.adopt` returns. Raises KeyError if there is no such review,
        EarmarkError if nothing was decided, or if the data has changed since.
        """
        with self._lock:
            path, folder = self._path(name), self.folder.path
            if not any(str(row.get("decision") or "").strip() for _, row in self._table(name).rows):
                raise EarmarkError("nothing was decided yet. Decide on some labels first.")
            dataset = Dataset.read(folder)
            corrected, counts = corrections.apply(dataset, path)
            kept = {clip.key for clip in corrected}
            dropped = [clip for clip in dataset if clip.key not in kept]
            manifest = review_record(folder, name).parent / f"{name}.{CORRECTED}"
            manifest.parent.mkdir(parents=True, exist_ok=True)
            columns = other_columns(dataset)
            rows = [number for number, clip in enumerate(dataset) if clip.key in kept]
            more = {column: [cells[n] for n in rows] for column, cells in columns.items()}
            corrected.to_manifest(manifest, more)
            said = _said(counts["relabelled"], counts["dropped"])
            left_out = [_left_out(clip, folder, name) for clip in dropped]
            try:
                return self.folder.adopt(manifest, left_out, said)
            finally:
                manifest.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        """Return the file of decisions of a review; KeyError if there is none of this name."""
        if name not in self.names():
            raise KeyError(name)
        return self.folder.path / DECISIONS / f"{name}.csv"

    def _table(self, name: str) -> Table:
        table = read_table(self._path(name).absolute(), set(decisions.ALL_COLUMNS))
        decisions.check_columns(table)
        return table

    def _record(self, name: str) -> dict[str, Any]:
        """Return what the job of a review printed; empty if there is none, or it is damaged."""
        try:
            with open_file(review_record(self.folder.path, name)) as file:
                value = json.loads(file.read(MOST_RECORD_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def _clip(self, table: Table, row: Any) -> dict[str, Any]:
        return {
            "path": os.path.abspath(table.folder / str(row.get("path") or "")),
            "start": _number(row.get("start")),
            "end": _number(row.get("end")),
            "label": str(row.get("label") or "").strip(),
        }

    def _check(self, word: str, row: dict[str, Any]) -> None:
        """Refuse a decision that ``review --apply`` would refuse."""
        if word == "relabel" and not row.get("suggested"):
            raise EarmarkError("there is no suggestion for this clip. Choose a class instead.")
        if word in ("", *decisions.REVIEW_WORDS):
            return
        dataset = Dataset.read(self.folder.path)
        if word in decisions.ANSWERS and (word != "yes" or row.get("suggested")):
            return
        if word not in dataset.labels:
            raise EarmarkError(
                f"there is no class {word!r}.{did_you_mean(word, dataset.labels)} Choose one of"
                f" {listed(dataset.labels)}."
            )


def _left_out(clip: Clip, folder: Path, name: str) -> dict[str, Any]:
    return {
        "path": str(clip.path),
        "start": clip.start,
        "end": clip.end,
        "label": clip.label,
        "reason": f"dropped in {name}",
    }


def _said(relabelled: int, dropped: int) -> str:
    """Return what was done, as a sentence."""
    parts = [f"relabelled {amount(relabelled, 'clip')}"] if relabelled else []
    parts += [f"left out {amount(dropped, 'clip')}"] if dropped else []
    text = " and ".join(parts) or "kept every label"
    return f"{text[:1].upper()}{text[1:]}, as the review says."


def _key(suspect: Any) -> tuple[Any, ...]:
    """Return what a suspect and its row in the file of decisions have in common."""
    start, end = suspect.get("start"), suspect.get("end")
    return (
        suspect.get("path"),
        None if start is None else round(float(start), 6),
        None if end is None else round(float(end), 6),
        suspect.get("suggested") or None,
    )


def _number(cell: object) -> float | None:
    try:
        return float(str(cell)) if cell not in (None, "") else None
    except ValueError:
        return None


def _cell(value: object) -> str:
    return "" if value is None else str(value)
