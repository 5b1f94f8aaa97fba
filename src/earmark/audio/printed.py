"""What decoders print is caught: libmpg123 writes to C's own streams, past Python's.

Descriptors are left as they are: other threads may be writing to them. C's variables ``stdout`` and
``stderr`` are set to a stream that hands each thread what it printed. That takes the GNU C library;
elsewhere nothing is caught.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

_WRITE = ctypes.CFUNCTYPE(
    ctypes.c_ssize_t, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t
)
_UNBUFFERED = 2  # _IONBF: each text comes at once, in the thread that prints it
_NAMES = {1: "stdout", 2: "stderr"}


class _Functions(ctypes.Structure):
    """C's ``cookie_io_functions_t``: what a stream of one's own does."""

    _fields_ = (
        ("read", ctypes.c_void_p),
        ("write", _WRITE),
        ("seek", ctypes.c_void_p),
        ("close", ctypes.c_void_p),
    )


class _Stream(NamedTuple):
    """A variable of C, the stream it was set to, and ours."""

    variable: ctypes.c_void_p
    theirs: int | None
    ours: int
    write: Callable[..., int]  # kept alive as long as C may call it


_lock = threading.Lock()
_users = 0
_thread = threading.local()


@contextlib.contextmanager
def caught() -> Iterator[list[str]]:
    """Catch what C code prints in this thread; inside another ``caught``, it is that one's."""
    outer: list[str] | None = getattr(_thread, "texts", None)
    if outer is not None:
        yield outer
        return
    texts: list[str] = []
    _thread.texts = texts
    _use(1)
    try:
        yield texts
    finally:
        _use(-1)
        _thread.texts = None


def remarks(texts: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what a decoder printed, in short: damage that it conceals, and the rest."""
    lines = [line.strip() for line in "".join(texts).splitlines() if line.strip()]
    damage = [line for line in lines if re.search(r"/layer\d?\.c:.*error:", line)]
    others = [line for line in lines if line not in damage]
    return _counted("damaged inside; its decoder says", damage), _counted(
        "its decoder says", others
    )


def _counted(what: str, lines: list[str]) -> tuple[str, ...]:
    if not lines:
        return ()
    text = re.sub(r"^\[.*?\] (error|warning): ", "", lines[0]).rstrip(".!")
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return (f"{what}: {text}{more}.",)


def _use(change: int) -> None:
    """Set C's variables for the first thread that catches, and back after the last."""
    global _users
    with _lock:
        _users += change
        if _users == max(change, 0):
            for stream in _streams():
                stream.variable.value = stream.ours if _users else stream.theirs


@functools.cache
def _streams() -> tuple[_Stream, ...]:
    """Make the streams; none where this C library has no such thing."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  # elsewhere the variables may be read-only
        make, unbuffer = library.fopencookie, library.setvbuf
    except (AttributeError, OSError, TypeError):
        return ()
    make.restype = ctypes.c_void_p
    make.argtypes = (ctypes.c_void_p, ctypes.c_char_p, _Functions)
    unbuffer.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    streams = []
    for descriptor, name in _NAMES.items():
        write = _WRITE(functools.partial(_write, descriptor))
        ours = make(None, b"w", _Functions(None, write, None, None))
        if not ours:
            return ()
        unbuffer(ours, None, _UNBUFFERED, 0)
        variable = ctypes.c_void_p.in_dll(library, name)
        streams.append(_Stream(variable, variable.value, ours, write))
    return tuple(streams)


def _write(
    descriptor: int, _cookie: int | None, text: ctypes.Array[ctypes.c_char], size: int
) -> int:
    """Take what a thread prints; of threads that do not decode it goes where it would have gone."""
    texts: list[str] | None = getattr(_thread, "texts", None)
    content = ctypes.string_at(text, size)
    if texts is None:
        with contextlib.suppress(OSError):
            os.write(descriptor, content)
    else:
        texts.append(content.decode("utf-8", "replace"))
    return size
