"""A list of paths on standard input, as the systems and shells of this world write it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from earmark.data.encodings import decode, is_wide
from earmark.data.located import Locator
from earmark.errors import DataError, EarmarkError


def paths_in(stdin: TextIO | None) -> Iterator[Path]:
    """Yield the paths of a list as they come: one a line, or with NUL between (find -print0).

    A byte order mark and carriage returns do not count; UTF-16 is read whole first. Raises
    EarmarkError for an empty list and for a closed stream.
    """
    is_empty = True
    for path in _paths_in(stdin) if stdin is not None else ():
        is_empty = False
        yield path
    if is_empty:
        state = "is empty" if stdin is not None else "is closed"
        raise EarmarkError(f"standard input {state}; - needs a list of paths there, one a line.")


def _paths_in(stdin: TextIO) -> Iterator[Path]:
    lines: Iterable[bytes] = getattr(stdin, "buffer", None) or map(os.fsencode, stdin)
    is_first = True
    for line in lines:
        if is_first and is_wide(line):
            try:
                text, _ = decode(line + b"".join(lines))
            except ValueError as error:
                raise DataError(f"the list on standard input {error}.") from error
            yield from (_path(name) for name in text.split("\n") if name.strip())
            return
        plain = line.removeprefix(b"\xef\xbb\xbf") if is_first else line
        is_first = False
        for name in plain.rstrip(b"\n").split(b"\0"):
            if name.strip():
                yield _path(os.fsdecode(name))


def _path(name: str) -> Path:
    """Return the path of a line; where it is not there, the file that is called so elsewhere.

    That is without a carriage return, or in another spelling (see ``Locator``).
    """
    plain = name.rstrip("\r\n")
    for path in (name, plain):
        if os.path.exists(path):
            return Path(path)
    near = Locator(Path()).find(plain)
    return near if near.is_file() else Path(plain)
