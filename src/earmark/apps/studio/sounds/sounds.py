"""Pictures, peaks and audio of recordings, made by processes that are replaced if they fail."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from earmark.apps.service import frames
from earmark.apps.service.pool import Answer, EndedError, LateError, Pool
from earmark.errors import AudioError, EarmarkError
from earmark.system.cache import overviews_folder
from earmark.system.threads import available_cores

MODULE = "earmark.apps.studio.sounds.drawing"
READ_S = 20.0  # for one answer; a process that takes longer is ended
WAIT_S = 60.0  # for a process that is free
MOST_PROCESSES = 2
MOST_KEPT_BYTES = 64 * 2**20  # of answers in memory
MOST_REFUSED = 1_000  # recordings that ended a process and are not tried again
BATCH = 64  # pictures in one message
Ask = dict[str, Any]
Key = tuple[Any, ...]
Value = tuple[dict[str, Any], bytes]


@dataclass(frozen=True)
class Picture:
    """A mel spectrogram.

    Attributes
    ----------
    levels : bytes
        ``rows * columns`` values from 0 (-95 dB or less; a sine at full scale has 0 dB) to 255
        (-15 dB or more), row by row; row 0 is the highest. A column shows the loudest sound within
        its time.
    columns, rows : int
    seconds : float
        The length of what is shown.
    top_hz : float
        The frequency at the upper edge: half the rate, at most 160 kHz. A frequency lies at
        ``log1p(hz / 700) / log1p(top_hz / 700)`` of the height.
    share : float
        Below 1, that part of the recording has been scanned, and the rest is a sketch. Ask again,
        or wait for ``Sounds.on_scanned``.
    """

    levels: bytes = field(repr=False)
    columns: int
    rows: int
    seconds: float
    top_hz: float
    share: float = 1.0


@dataclass(frozen=True)
class Outline:
    """The outline of a waveform: ``pairs`` of int8 (least, greatest), full scale 127.

    ``share`` is that of a :class:`Picture`.
    """

    pairs: bytes = field(repr=False)
    seconds: float
    share: float = 1.0


class Sounds:
    """Reads recordings in processes of its own; all errors are EarmarkErrors with a sentence.

    A stretch of up to 300 s is read when it is asked for. Longer ones are shown from an overview:
    a sketch after about a second, then the whole recording, scanned in the background and kept in
    the cache (``picture.share``). Answers are kept in memory as long as the file stays the same.

    For a page that scrolls, :meth:`tile` is better than :meth:`picture`: a tile has 256 columns
    (the last one of a recording fewer) and 128 rows, a column of ``level`` shows ``2 ** level /
    1024`` seconds, and tile ``index`` begins at ``index * 256`` columns. Levels 0 to 20: at level 6
    a tile has 16 s, at level 15 it has 2.3 hours. Tiles fit together without a seam.

    Attributes
    ----------
    on_scanned : callable
        Called with the path and the share while a long recording is scanned, and at its end.
    trouble : str or None
        Why the last scan has failed.
    replaced : int
        How many processes were ended and started again.
    """

    def __init__(self) -> None:
        settings = {"overviews": str(overviews_folder()), "mark": f"part-{os.getpid()}"}
        size = min(MOST_PROCESSES, available_cores())
        self._readers = Pool("draw", size, settings, MODULE)
        self._scanners = Pool("scan", 1, settings, MODULE)
        self._scanner_runs: asyncio.Task[None] | None = None
        self._scans: dict[str, asyncio.Task[None]] = {}
        self._sketched: dict[str, asyncio.Future[None]] = {}
        self._turn = asyncio.Lock()  # recordings are scanned one after the other
        self._kept: collections.OrderedDict[Key, Value] = collections.OrderedDict()
        self._kept_bytes = 0
        self._asked: dict[Key, asyncio.Task[Value]] = {}
        self._refused: collections.OrderedDict[Key, str] = collections.OrderedDict()
        self.on_scanned: Callable[[Path, float], None] = lambda path, share: None
        self.trouble: str | None = None

    @property
    def replaced(self) -> int:
        return self._readers.replaced + self._scanners.replaced

    async def start(self) -> None:
        """Start the processes that read; the one that scans starts when it is needed."""
        await self._readers.start()

    async def close(self) -> None:
        """End all processes."""
        tasks = [*self._scans.values(), *self._asked.values()]
        tasks += [self._scanner_runs] if self._scanner_runs else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(self._readers.close(), self._scanners.close())

    async def picture(
        self, path: Path, start: float | None, end: float | None, *, columns: int, rows: int
    ) -> Picture:
        """Return the picture of a recording, or of ``start..end`` (seconds) of it."""
        ask = {"path": str(path), "start": start, "end": end, "columns": columns, "rows": rows}
        return _picture(await self._answer({"do": "picture", **ask}))

    async def tile(self, path: Path, level: int, index: int) -> Picture:
        """Return a tile of a recording; AudioError of kind 'stretch' behind its end."""
        if not 0 <= level <= 20 or not 0 <= index < 2**40:
            raise EarmarkError(f"There is no tile {index} of level {level}. Levels are 0 to 20.")
        ask = {"do": "tile", "path": str(path), "level": level, "index": index}
        return _picture(await self._answer(ask))

    async def pictures(
        self,
        wanted: Iterable[tuple[Path, float | None, float | None]],
        *,
        columns: int,
        rows: int,
    ) -> list[Picture | EarmarkError]:
        """Return a picture or the error of each (path, start, end)."""
        size = {"columns": columns, "rows": rows}
        asks = [
            {"do": "picture", "path": str(path), "start": start, "end": end, **size}
            for path, start, end in wanted
        ]
        return [
            value if isinstance(value, EarmarkError) else _picture(value)
            for value in await self._answers(asks)
        ]

    async def peaks(
        self, path: Path, start: float | None, end: float | None, *, points: int
    ) -> tuple[bytes, float]:
        """Return the pairs of :meth:`outline`, and the seconds."""
        outline = await self.outline(path, start, end, points=points)
        return outline.pairs, outline.seconds

    async def outline(
        self, path: Path, start: float | None, end: float | None, *, points: int
    ) -> Outline:
        """Return the outline of a recording, or of ``start..end`` (seconds) of it."""
        ask = {"do": "peaks", "path": str(path), "start": start, "end": end, "points": points}
        value, pairs = await self._answer(ask)
        return Outline(pairs, value["seconds"], value["share"])

    async def audio(self, path: Path, start: float | None, end: float | None) -> bytes:
        """Return a stretch of at most 300 s as WAV: 16 bits, one or two channels."""
        ask = {"do": "audio", "path": str(path), "start": start, "end": end}
        return (await self._answer({**ask, "first": None, "last": None}))[1]

    async def audio_part(
        self,
        path: Path,
        start: float | None,
        end: float | None,
        *,
        first: int,
        last: int | None = None,
    ) -> tuple[bytes, int]:
        """Return the bytes from ``first`` on of the WAV of a stretch of any length, and its size.

        At most 1 MiB comes, even if ``last`` (included) is further; only that part is read.
        """
        ask = {"do": "audio", "path": str(path), "start": start, "end": end}
        value, part = await self._answer({**ask, "first": first, "last": last})
        return part, value["size"]

    async def about(self, path: Path) -> dict[str, Any]:
        """Return ``seconds``, ``rate_hz``, ``channels`` and ``bytes`` of a recording."""
        return (await self._answer({"do": "about", "path": str(path)}))[0]

    async def abouts(self, paths: Iterable[Path]) -> list[dict[str, Any] | EarmarkError]:
        """Return what :meth:`about` does, or the error, for each path."""
        answers = await self._answers([{"do": "about", "path": str(path)} for path in paths])
        return [value if isinstance(value, EarmarkError) else value[0] for value in answers]

    # Answers: kept ones, those that are on their way, and new ones

    async def _answer(self, ask: Ask) -> Value:
        """Return an answer; equal questions at the same time share it."""
        version = await asyncio.to_thread(_version, ask["path"])
        key = (*sorted(ask.items()), version)
        if (kept := self._recall(key)) is not None:
            return kept
        task = self._asked.get(key)
        if task is None:
            task = asyncio.ensure_future(self._read(ask, version))
            self._asked[key] = task
            task.add_done_callback(lambda done: self._came(key, done))
        return await asyncio.shield(task)  # whoever asked may leave; the process stays

    async def _read(self, ask: Ask, version: Key | None) -> Value:
        try:
            return await self._read_once(ask, version)
        except AudioError as error:
            if error.kind != "overview":
                raise
        return await self._overviewed(ask, version)

    async def _overviewed(self, ask: Ask, version: Key | None) -> Value:
        """Sketch a long recording, begin to scan it, and ask again."""
        path = ask["path"]
        if path not in self._scans:
            self._sketched[path] = asyncio.get_running_loop().create_future()
            task = asyncio.ensure_future(self._scan(path, version, self._sketched[path]))
            self._scans[path] = task
            task.add_done_callback(lambda _: self._scans.pop(path, None))
        await asyncio.shield(self._sketched[path])
        return await self._read_once(ask, version)

    async def _scan(self, path: str, version: Key | None, sketched: asyncio.Future[None]) -> None:
        """Draw the overview of a long recording, in turns."""
        try:
            if self._scanner_runs is None:
                self._scanner_runs = asyncio.ensure_future(self._scanners.start())
            await asyncio.shield(self._scanner_runs)
            share = await self._progress("sketch", path, version)
            sketched.set_result(None)
            async with self._turn:
                while share < 1:
                    share = await self._progress("scan", path, version)
            self.trouble = None
        except (EarmarkError, OSError) as error:
            self.trouble = str(error)
            if not self._scanners.is_ready:  # it did not start, and is started at the next need
                self._scanner_runs = None
            if not sketched.done():
                sketched.set_exception(EarmarkError(str(error)))
        finally:
            if not sketched.done():
                sketched.cancel()

    async def _progress(self, do: str, path: str, version: Key | None) -> float:
        value, _ = await self._told(self._scanners, {"do": do, "path": path}, version)
        share = float(value["share"])
        self.on_scanned(Path(path), share)
        return share

    async def _answers(self, asks: Sequence[Ask]) -> list[Value | EarmarkError]:
        """Return the answer or the error of each question; each process takes some at a time."""
        parts = [asks[k : k + BATCH] for k in range(0, len(asks), BATCH)]
        done = await asyncio.gather(*(self._batch(part) for part in parts))
        return [value for part in done for value in part]

    async def _batch(self, asks: Sequence[Ask]) -> list[Value | EarmarkError]:
        versions = await asyncio.to_thread(lambda: [_version(ask["path"]) for ask in asks])
        keys = [
            (*sorted(ask.items()), version) for ask, version in zip(asks, versions, strict=True)
        ]
        found: dict[int, Value | EarmarkError] = {}
        for k, key in enumerate(keys):
            if (kept := self._recall(key)) is not None:
                found[k] = kept
        left = [k for k in range(len(asks)) if k not in found]
        is_safe = all((asks[k]["path"], versions[k]) not in self._refused for k in left)
        if left and is_safe:
            message = frames.pack({"do": "many", "asks": [asks[k] for k in left]})
            with contextlib.suppress(LateError, EndedError):  # each is asked alone instead
                value, body = await self._ask(self._readers, message)
                for k, part in zip(left, _split(value["answers"], body), strict=True):
                    if part[0].get("kind") != "overview":
                        found[k] = _checked(asks[k]["path"], part)
        for k in left:
            if k not in found:
                found[k] = await self._tried(asks[k])
            if not isinstance(answer := found[k], EarmarkError):
                self._keep(keys[k], answer)
        return [found[k] for k in range(len(asks))]

    async def _tried(self, ask: Ask) -> Value | EarmarkError:
        try:
            return await self._answer(ask)
        except EarmarkError as error:
            return error

    async def _read_once(self, ask: Ask, version: Key | None) -> Value:
        return await self._told(self._readers, ask, version)

    async def _told(self, pool: Pool, ask: Ask, version: Key | None) -> Value:
        """Ask a process; a recording that ends it is refused from then on."""
        key = (ask["path"], version)
        if key in self._refused:
            raise AudioError(ask["path"], self._refused[key], "unreadable")
        try:
            answer = await self._ask(pool, frames.pack(ask))
        except (LateError, EndedError) as error:
            is_late = isinstance(error, LateError)
            why = f"took longer than {READ_S:g} s" if is_late else "ended the process that reads it"
            text = f"cannot be read: it {why}; convert it to WAV or FLAC, or leave it out"
            self._refused[key] = text
            if len(self._refused) > MOST_REFUSED:
                self._refused.popitem(last=False)
            raise AudioError(ask["path"], text, "unreadable") from error
        checked = _checked(ask["path"], answer)
        if isinstance(checked, EarmarkError):
            raise checked
        return checked

    async def _ask(self, pool: Pool, message: bytes) -> Answer:
        """Return an answer; EarmarkError if no process becomes free."""
        has_begun = False
        now = asyncio.get_running_loop().time

        def begin() -> None:
            nonlocal has_begun
            has_begun = True

        try:
            return await pool.ask_within(message, READ_S, now() + WAIT_S, begin)
        except LateError:
            if has_begun:
                raise
            text = "Other recordings are still being read. Try again in a minute."
            raise EarmarkError(text) from None

    def _came(self, key: Key, task: asyncio.Task[Value]) -> None:
        self._asked.pop(key, None)
        if not task.cancelled() and task.exception() is None:
            self._keep(key, task.result())

    def _keep(self, key: Key, value: Value) -> None:
        """Keep an answer if it stays true: not a sketch, and the file is known."""
        size = len(value[1])
        is_final = value[0].get("share", 1.0) == 1.0 and key[-1] is not None
        if not is_final or size > MOST_KEPT_BYTES // 2 or key in self._kept:
            return
        self._kept[key] = value
        self._kept_bytes += size + 1_000
        while self._kept_bytes > MOST_KEPT_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped[1]) + 1_000

    def _recall(self, key: Key) -> Value | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)


def _version(path: str) -> Key | None:
    """Return what changes when a file changes; None if there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _split(values: Sequence[dict[str, Any]], body: bytes) -> list[Value]:
    answers, at = [], 0
    for value in values:
        size = value.pop("bytes_here")
        answers.append((value, body[at : at + size]))
        at += size
    return answers


def _checked(path: str, answer: Answer) -> Value | EarmarkError:
    value, body = answer
    if "error" not in value:
        return value, body
    if not value["kind"]:
        return EarmarkError(value["error"])
    return AudioError(path, value["error"], value["kind"])


def _picture(answer: Value) -> Picture:
    value, levels = answer
    share = value["share"]
    return Picture(
        levels, value["columns"], value["rows"], value["seconds"], value["top_hz"], share
    )
