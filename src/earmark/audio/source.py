"""Where the bytes of a recording come from."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

from earmark.audio.decoder import reason
from earmark.errors import AudioError


def open_source(source: str | Path | bytes) -> BinaryIO:
    """Open ``source`` without a name: soundfile and FFmpeg would look at its suffix."""
    file: BinaryIO
    try:
        if isinstance(source, bytes):
            size, file = len(source), io.BytesIO(source)
        else:
            status = os.stat(source)
            if not stat.S_ISREG(status.st_mode):
                raise AudioError("is not a file; give the path of a recording")
            handle = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            # unbuffered: libsndfile reads by the handle, and two ideas of where it stands are one
            # too many
            size, file = status.st_size, open(handle, "rb", 0)  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise AudioError(
            f"cannot be opened: {reason(error)}; check the path and its permissions"
        ) from error
    if not size:
        file.close()
        raise AudioError("the file is empty (0 bytes); fetch it again or leave it out")
    return file
