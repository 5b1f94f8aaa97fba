"""A job and its files in ``FOLDER/.studio/jobs/ID``: job.json, progress, result and messages."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from earmark.apps.studio.jobs.commands import command, command_text
from earmark.apps.studio.places import PRIVATE
from earmark.errors import EarmarkError
from earmark.system.files import open_file, write_whole
from earmark.system.jsons import json_text, strict_json

WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "stopped"
STATES = (WAITING, RUNNING, DONE, FAILED, STOPPED)
PRINTS_NO_JSON = ("fetch",)
MOST_JOB_BYTES, MOST_RESULT_BYTES, MOST_MESSAGE_BYTES = 1 << 20, 1 << 28, 1 << 16
MOST_MESSAGES = 100
_ID = re.compile(r"\d{8}-\d{6}-\d{6}-[0-9a-f]{4}")
_RECORD, _PROGRESS, _RESULT, _ERRORS = "job.json", "progress.jsonl", "result.json", "errors.txt"


@dataclass
class Job:
    """What is known about a job; ``job.json`` holds it.

    ``pid`` and ``process`` are its process (see :mod:`processes`). Times are those of the clock, in
    ISO 8601; ``started_at`` is when it was asked for, until it starts. ``data`` is a digest of the
    labels that it read.
    """

    id: str
    kind: str
    choices: dict[str, Any]
    state: str = WAITING
    started_at: str | None = None
    ended_at: str | None = None
    pid: int = 0
    process: str = ""
    is_to_stop: bool = False
    error: str | None = None
    said: str | None = None
    data: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, however."""
        return self.state in (DONE, FAILED, STOPPED)


@dataclass(frozen=True)
class JobFiles:
    """The files of one job of a ``folder``; it may read the folders ``recordings``, too."""

    folder: Path
    id: str
    recordings: Mapping[str, Path] = field(default_factory=dict)
    place: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", jobs_folder(self.folder) / self.id)

    @property
    def progress(self) -> Path:
        return self.place / _PROGRESS

    @property
    def output(self) -> Path:
        return self.place / _RESULT

    @property
    def messages(self) -> Path:
        return self.place / _ERRORS

    def argv(self, job: Job) -> list[str]:
        """Return the command of a job, made anew from its choices, as its page shows it."""
        return command(
            self.folder, job.kind, job.choices, place=self.place, recordings=self.recordings
        )

    def text(self, job: Job) -> str:
        """Return the command as a person types it; '' if its choices are not possible any more."""
        try:
            return command_text(self.argv(job))
        except EarmarkError:
            return ""

    def save(self, job: Job) -> None:
        """Write job.json whole; EarmarkError if that fails."""
        try:
            self.place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EarmarkError(
                f"cannot make the folder {self.place}: {error.strerror}. Free some space, or check"
                " its permissions."
            ) from error
        write_whole(self.place / _RECORD, json_text(asdict(job), indent=1).encode())

    def load(self) -> Job:
        """Read job.json; EarmarkError if it is missing or is not that of a job."""
        try:
            value = strict_json(_read(self.place / _RECORD, MOST_JOB_BYTES))
            job = Job(**{f.name: value[f.name] for f in fields(Job) if f.name in value})
            _check(job, self.id)
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            raise EarmarkError(
                f"{self.place / _RECORD} is damaged ({error}). Delete its folder."
            ) from error
        return job

    def clear(self) -> None:
        """Delete what an earlier run of the job has left, so that it can run again."""
        for path in (self.progress, self.output, self.messages, *self.place.glob("*.csv")):
            with contextlib.suppress(OSError):
                path.unlink()

    def result(self) -> dict[str, Any] | None:
        """Return the object that the command printed; None if it did not print a whole one."""
        with contextlib.suppress(OSError, ValueError, RecursionError):
            value = json.loads(_read(self.output, MOST_RESULT_BYTES))
            return value if isinstance(value, dict) else None
        return None

    def has_printed(self) -> bool:
        """Return whether the command printed anything."""
        with contextlib.suppress(OSError):
            return self.output.stat().st_size > 0
        return False

    def lines(self) -> list[str]:
        """Return the last messages that the command printed for people."""
        try:
            with open_file(self.messages) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - MOST_MESSAGE_BYTES))
                text = file.read(MOST_MESSAGE_BYTES).decode(errors="replace")
        except OSError:
            return []
        return text.splitlines()[-MOST_MESSAGES:]

    def delete(self) -> None:
        """Delete the job's folder."""
        shutil.rmtree(self.place, ignore_errors=True)


def jobs_folder(folder: Path) -> Path:
    """Return where the jobs of ``folder`` are."""
    return folder / PRIVATE / "jobs"


def new_id() -> str:
    """Return an id; ids sort by time."""
    now = datetime.now(timezone.utc)
    return f"{now:%Y%m%d-%H%M%S-%f}-{secrets.token_hex(2)}"


def ids_in(folder: Path) -> list[str]:
    """Return the ids of all jobs of a folder, oldest first; links are no jobs."""
    try:
        with os.scandir(jobs_folder(folder)) as entries:
            names = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return sorted(name for name in names if _ID.fullmatch(name))


def check_no_links(folder: Path) -> None:
    """Refuse a folder whose own files for jobs lead out of it by a link."""
    for place in (folder / PRIVATE, jobs_folder(folder)):
        if place.is_symlink():
            raise EarmarkError(f"{place} is a link. Delete it; the studio makes a folder there.")


def now_text() -> str:
    """Return the time in UTC, such as 2026-01-31T12:00:00.000Z."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def error_of(lines: list[str], code: int | None) -> str:
    """Return the sentence on why a command failed: the one that it printed, if it did.

    ``code`` is its exit code, below 0 for a signal; None if it is not known.
    """
    for line in reversed(lines):
        start, sign, sentence = line.partition(": ")
        if sign and start in ("error", "Error"):
            return sentence
    if any(line.startswith("Traceback ") for line in lines):
        return f"earmark has failed in a way that it never should: {lines[-1]}. Please report it."
    if code is not None and code < 0:
        return (
            f"the system ended it (signal {-code}), most often because memory ran out. Close other"
            " programs, or take fewer networks."
        )
    return "it ended without a result. Start it again; if memory ran out, close other programs."


def says_why(lines: list[str]) -> bool:
    """Return whether a command has printed why it failed."""
    return any(line.startswith(("error: ", "Error: ", "Traceback ")) for line in lines)


def _check(job: Job, id: str) -> None:
    texts = (job.kind, job.process)
    maybe = (job.started_at, job.ended_at, job.error, job.said, job.data)
    is_right = (
        job.id == id
        and job.state in STATES
        and isinstance(job.choices, dict)
        and isinstance(job.pid, int)
        and all(isinstance(text, str) for text in texts)
        and all(text is None or isinstance(text, str) for text in maybe)
    )
    if not is_right:
        raise ValueError("its values are not those of a job")


def _read(path: Path, most: int) -> bytes:
    with open_file(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return content
