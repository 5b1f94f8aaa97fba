"""Play stretches of recordings with a program of this machine, without waiting for it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from earmark.audio.source import Source

MARGIN_S = 0.5  # of sound before and after a stretch
ENDING_S = 0.5  # that a program may take to end, or a thread
PROGRAMS = {  # and their options, before the name of the file
    "ffplay": ("-nodisp", "-autoexit", "-loglevel", "quiet"),
    "afplay": (),
    "aplay": ("-q",),
    "paplay": (),
    "play": ("-q",),
}


def find_program() -> list[str] | None:
    """Return the command of the first program of this machine that plays files, or None."""
    for name, options in PROGRAMS.items():
        if path := shutil.which(name):
            return [path, *options]
    return None


class Player:
    """Plays one stretch at a time; a new one ends the one before. Use it as a context manager.

    Parameters
    ----------
    command : list of str
        The program and its options.

    Attributes
    ----------
    problem : str or None
        Why the last stretch could not be played.
    """

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.problem: str | None = None
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._number = 0  # of the newest stretch
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for thread in self._threads:
            thread.join(ENDING_S)  # until it has deleted its file

    def play(self, source: Source, start: float, end: float) -> None:
        """Begin to play ``start..end`` (seconds) of a recording, and return at once."""
        self.stop()
        with self._lock:
            number = self._number
        thread = threading.Thread(target=self._play, args=(number, source, start, end), daemon=True)
        self._threads = [*(own for own in self._threads if own.is_alive()), thread]
        thread.start()

    def stop(self) -> None:
        """End what is played."""
        with self._lock:
            self._number += 1
            process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                process.terminate()
            try:
                process.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _play(self, number: int, source: Source, start: float, end: float) -> None:
        """Cut the stretch into a temporary file, and play it to its end."""
        from earmark.errors import AudioError
        from earmark.system.files import create, deleted_after, new_name

        path = new_name(Path(tempfile.gettempdir()), "earmark.", ".wav")
        deleted_after(self, path)
        try:
            create(path)
            cut(source, start, end, path)
            process = self._begin(number, path)
            if process is None:
                return
            code = process.wait()
            with self._lock:
                if number == self._number and code:
                    self.problem = f"{Path(self.command[0]).name} ended with exit code {code}"
        except (AudioError, OSError) as error:
            self.problem = str(error).rstrip(".")
        finally:
            path.unlink(missing_ok=True)

    def _begin(self, number: int, path: Path) -> subprocess.Popen[bytes] | None:
        """Start the program, unless another stretch is played by now."""
        with self._lock:
            if number != self._number:
                return None
            nothing = subprocess.DEVNULL
            self._process = subprocess.Popen(
                [*self.command, str(path)], stdin=nothing, stdout=nothing, stderr=nothing
            )
            return self._process


def cut(source: Source, start: float, end: float, path: Path) -> None:
    """Write a stretch of a recording as WAV of 16 bits. Raises AudioError and OSError."""
    import numpy as np
    import soundfile

    from earmark.audio.reading import open_channels

    with open_channels(source, start, end) as stream:
        blocks = list(stream.blocks)
        sound = np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)
        try:
            soundfile.write(path, sound, stream.rate_hz, "PCM_16", format="WAV")
        except soundfile.LibsndfileError as error:
            raise OSError(f"cannot write {path}: {error}") from error
