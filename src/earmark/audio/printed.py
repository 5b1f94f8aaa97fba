"""Catch what decoders print: libmpg123 writes to the streams of C, not to those of Python.

The variables ``stdout`` and ``stderr`` of C are set to a stream that gives each thread its own
output. The file descriptors stay as they are, because other threads may be writing to them. This
works only with the GNU C library; elsewhere nothing is caught.
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
_UNBUFFERED = 2  # _IONBF: each text arrives at once, in the thread that prints it
_NAMES = {1: "stdout", 2: "stderr"}


class _Functions(ctypes.Structure):
    """The structure ``cookie_io_functions_t`` of C: the functions of a custom stream."""

    _fields_ = (
        ("read", ctypes.c_void_p),
        ("write", _WRITE),
        ("seek", ctypes.c_void_p),
        ("close", ctypes.c_void_p),
    )


class _Stream(NamedTuple):
    """A variable of C, its original stream, and our stream."""

    variable: ctypes.c_void_p
    theirs: int | None
    ours: int
    write: Callable[..., int]  # kept alive as long as C may call it


_lock = threading.Lock()
_users = 0
_thread = threading.local()


@contextlib.contextmanager
def caught() -> Iterator[list[str]]:
    """Catch what C code prints in this thread; a nested ``caught`` shares the list of the outer."""
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
    """Return short versions of what a decoder printed: lines about damage, and other lines."""
    lines = [line.strip() for line in "".join(texts).splitlines() if line.strip()]
    damage = [line for line in lines if re.search(r"/layer\d?\.c:.*error:", line)]
    others = [line for line in lines if line not in damage]
    return _counted("damaged inside; the decoder says", damage), _counted(
        "the decoder says", others
    )


def _counted(what: str, lines: list[str]) -> tuple[str, ...]:
    if not lines:
        return ()
    text = re.sub(r"^\[.*?\] (error|warning): ", "", lines[0]).rstrip(".!")
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return (f"{what}: {text}{more}.",)


def _use(change: int) -> None:
    """Set the variables of C for the first user, and restore them after the last."""
    global _users
    with _lock:
        _users += change
        if _users == max(change, 0):
            for stream in _streams():
                stream.variable.value = stream.ours if _users else stream.theirs


@functools.cache
def _streams() -> tuple[_Stream, ...]:
    """Create the streams; none if the C library does not support them."""
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
    """Keep what a decoding thread prints; pass on what other threads print."""
    texts: list[str] | None = getattr(_thread, "texts", None)
    content = ctypes.string_at(text, size)
    if texts is None:
        with contextlib.suppress(OSError):
            os.write(descriptor, content)
    else:
        texts.append(content.decode("utf-8", "replace"))
    return size
