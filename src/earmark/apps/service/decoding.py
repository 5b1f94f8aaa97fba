"""Decode recordings of strangers in a process that can be ended."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
from typing import Any

from earmark.apps.service import frames
from earmark.audio.reading import decode_ahead
from earmark.errors import AudioError

NAME = "the recording"  # in sentences: the service knows no file names
SPARE_BYTES = 2**29  # for the libraries, and for what a decoder itself needs
ORPHAN_S = 5  # after the deadline; by then the service would have ended this process


class Decoder:
    """Decodes one recording after the other, with limits of memory and of time."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._seconds, self._bytes = settings["seconds"], settings["decoded_bytes"]
        self._decode_s = settings["decode_s"]
        _limit_memory(4 * self._bytes + settings["body_bytes"] + SPARE_BYTES)

    def answer(self, value: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Return the length in seconds and the decoded recording, or the reason why not."""
        if hasattr(signal, "alarm"):  # ends this process if the service is no longer there to do it
            signal.alarm(math.ceil(self._decode_s) + ORPHAN_S)
        try:
            source = decode_ahead(body, self._seconds, self._bytes, name=NAME)
            packed, samples = source.pack()
            return {"seconds": source.seconds}, frames.pack(packed, samples)
        except AudioError as error:
            return {"error": str(error), "kind": error.kind}, b""
        except MemoryError:
            text = f"{NAME}: decoding it takes more memory than is allowed."
            return {"error": text, "kind": "memory"}, b""
        finally:
            if hasattr(signal, "alarm"):
                signal.alarm(0)


def _limit_memory(n_bytes: int) -> None:
    """Limit the memory of this process, where the system can do that."""
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, n_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
