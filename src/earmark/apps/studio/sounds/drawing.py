"""The process that reads recordings and draws them: ``python -m`` starts it.

It answers messages with ``do``: 'picture', 'tile', 'peaks', 'audio', 'about', 'many' and those that
make overviews of long recordings. It imports no network.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from earmark.apps.service.child import Handler, main
from earmark.apps.service.frames import Message
from earmark.apps.studio.sounds.overviews import BASE_S, Overview, Scan
from earmark.apps.studio.sounds.sections import About, Section, Wav, about, mono, section_of
from earmark.apps.studio.sounds.spectrograms import Grid, Levels, Peaks, drawn, lens_of
from earmark.errors import AudioError, EarmarkError
from earmark.system.threads import give_way

MOST_MEMORY = 2**30  # bytes of this process
DIRECT_S = 300.0  # longer stretches are shown from the overview
AUDIO_S = 300.0  # of one WAV
PART_BYTES = 2**20  # of one part of a WAV
TILE_COLUMNS, TILE_ROWS = 256, 128


def column_s(level: int) -> float:
    """Return the seconds of a column of a tile: 1/1024 s at level 0, twice as much at the next."""
    return float(2.0 ** (level - 10))


class Drawing:
    """Answers messages; ``overviews`` is a folder, and ``mark`` names unfinished ones in it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._folder, self._mark = settings["overviews"], settings["mark"]
        self._scans: dict[str, Scan] = {}
        self._does: dict[str, Callable[[dict[str, Any]], Message]] = {
            "picture": self._picture,
            "tile": self._tile,
            "peaks": self._peaks,
            "audio": self._audio,
            "about": lambda ask: (about(ask["path"])._asdict(), b""),
            "sketch": self._sketch,
            "scan": self._go_on,
            "many": self._many,
        }

    def answer(self, value: dict[str, Any], body: bytes = b"") -> Message:
        """Return the answer to a message, or {"error", "kind"} with a sentence."""
        try:
            return self._does[value["do"]](value)
        except AudioError as error:
            return {"error": error.reason, "kind": error.kind}, b""
        except EarmarkError as error:
            return {"error": str(error), "kind": ""}, b""
        except MemoryError:
            text = "reading it takes more memory than is allowed; convert it to WAV or FLAC"
            return {"error": text, "kind": "length"}, b""
        except OSError as error:
            return {"error": f"cannot be read: {error.strerror}; check the disk", "kind": ""}, b""

    def _many(self, ask: dict[str, Any]) -> Message:
        answers = [self.answer(one) for one in ask["asks"]]
        values = [{**value, "bytes_here": len(body)} for value, body in answers]
        return {"answers": values}, b"".join(body for _, body in answers)

    def _picture(self, ask: dict[str, Any]) -> Message:
        path, columns, rows = ask["path"], ask["columns"], ask["rows"]
        known = about(path)
        section = section_of(path, known, ask["start"], ask["end"])
        grid = Grid(section.start, (section.end - section.start) / columns, columns)
        return self._drawn(path, known, section, grid, rows)

    def _tile(self, ask: dict[str, Any]) -> Message:
        path, level, index = ask["path"], ask["level"], ask["index"]
        known, width = about(path), column_s(level)
        start = index * TILE_COLUMNS * width
        section = section_of(path, known, start, None)
        end = min(section.end, start + TILE_COLUMNS * width)
        columns = max(1, int(np.ceil((end - start) / width - 1e-9)))
        grid = Grid(start, width, columns)
        return self._drawn(path, known, Section(start, end), grid, TILE_ROWS)

    def _drawn(self, path: str, known: About, section: Section, grid: Grid, rows: int) -> Message:
        lens, seconds = lens_of(known.rate_hz, rows), section.end - section.start
        share = 1.0
        if seconds > DIRECT_S:
            overview = Overview.open(self._folder, self._mark, path, known)
            levels, share = overview.levels(grid, rows), overview.share
        else:
            around = len(lens.window)
            with mono(path, known, section, around) as (blocks, first):
                levels = drawn(blocks, first, lens, grid)
        shown: Levels = np.ascontiguousarray(levels.T)
        value = {"columns": grid.columns, "rows": rows, "seconds": seconds, "share": share}
        return {**value, "top_hz": lens.top_hz}, shown.tobytes()

    def _peaks(self, ask: dict[str, Any]) -> Message:
        path, points = ask["path"], ask["points"]
        known = about(path)
        section = section_of(path, known, ask["start"], ask["end"])
        seconds = section.end - section.start
        grid = Grid(section.start, seconds / points, points)
        if seconds > DIRECT_S:
            overview = Overview.open(self._folder, self._mark, path, known)
            value = {"seconds": seconds, "share": overview.share}
            return value, overview.peaks(grid).tobytes()
        with mono(path, known, section) as (blocks, first):
            peaks = Peaks(grid, known.rate_hz, first)
            for block in blocks:
                peaks.feed(block)
        return {"seconds": seconds, "share": 1.0}, peaks.pairs.tobytes()

    def _audio(self, ask: dict[str, Any]) -> Message:
        path, known = ask["path"], about(ask["path"])
        section = section_of(path, known, ask["start"], ask["end"])
        wav, first, last = Wav(path, known, section), ask["first"], ask["last"]
        if first is not None:
            if not 0 <= first < wav.size:
                raise EarmarkError(f"the sound has {wav.size} bytes. Ask for a part inside it.")
            last = min(first + PART_BYTES, wav.size) - 1 if last is None else last
            last = min(last, first + PART_BYTES - 1)
            return {"size": wav.size}, wav.read(first, last)
        if section.end - section.start > AUDIO_S + 1e-6:
            why = f"at most {AUDIO_S:g} s can be played at once; play stretches of it"
            raise AudioError(path, why, "length")
        return {"size": wav.size}, wav.read()

    def _sketch(self, ask: dict[str, Any]) -> Message:
        path = ask["path"]
        self._scans[path] = Scan.begin(self._folder, self._mark, path, about(path))
        return self._progress(path)

    def _go_on(self, ask: dict[str, Any]) -> Message:
        path = ask["path"]
        if path not in self._scans:  # another process has sketched it, and was replaced
            self._sketch(ask)
        try:
            self._scans[path].go_on()
        except Exception:
            del self._scans[path]
            raise
        return self._progress(path)

    def _progress(self, path: str) -> Message:
        share = self._scans[path].share
        if share == 1:
            del self._scans[path]
        return {"share": share}, b""


def play(role: str, settings: dict[str, Any]) -> tuple[dict[str, Any], Handler]:
    """Return what the process says when it is ready, and what answers messages."""
    if role == "scan":
        give_way()
    _limit_memory()
    drawing = Drawing(settings)
    return {"base_s": BASE_S}, lambda messages: [drawing.answer(*message) for message in messages]


def _limit_memory() -> None:
    """Limit the memory of this process, where the system can do that."""
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main(play)
