"""Read a list of paths from standard input, as different systems and shells write it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from earmark.data.clip import Clip
from earmark.data.encodings import decode, is_wide
from earmark.data.located import Locator
from earmark.data.remote import clip_elsewhere
from earmark.errors import DataError, EarmarkError
from earmark.system.objects import is_uri


def paths_in(stdin: TextIO | None, allow_remote: bool = False) -> Iterator[Path | Clip]:
    """Yield the paths of a list as they arrive: one per line, or separated by NUL (find -print0).

    A byte order mark and carriage returns are ignored. A list in UTF-16 is read to its end first.
    Raises EarmarkError for an empty list and for a closed stream, and DataError for a URI unless
    ``allow_remote``.
    """
    is_empty = True
    for name in _names_in(stdin) if stdin is not None else ():
        is_empty = False
        yield clip_elsewhere(name.strip(), allow_remote) if is_uri(name) else _path(name)
    if is_empty:
        state = "is empty" if stdin is not None else "is closed"
        raise EarmarkError(f"standard input {state}. For -, write paths to it, one per line.")


def _names_in(stdin: TextIO) -> Iterator[str]:
    lines: Iterable[bytes] = getattr(stdin, "buffer", None) or map(os.fsencode, stdin)
    is_first = True
    for line in lines:
        if is_first and is_wide(line):
            try:
                text, _ = decode(line + b"".join(lines))
            except ValueError as error:
                raise DataError(f"the list on standard input {error}.") from error
            yield from (name for name in text.split("\n") if name.strip())
            return
        plain = line.removeprefix(b"\xef\xbb\xbf") if is_first else line
        is_first = False
        for name in plain.rstrip(b"\n").split(b"\0"):
            if name.strip():
                yield os.fsdecode(name)


def _path(name: str) -> Path:
    """Return the path on a line of the list.

    If no such file exists, the name is tried without a carriage return, then in another spelling
    (see ``Locator``).
    """
    plain = name.rstrip("\r\n")
    for path in (name, plain):
        if os.path.exists(path):
            return Path(path)
    near = Locator(Path()).find(plain)
    return near if near.is_file() else Path(plain)
