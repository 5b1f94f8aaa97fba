"""How a command starts and ends: streams, signals, exit codes, one sentence for what fails."""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import sys
import warnings
from typing import TextIO

from earmark.apps.cli import signals
from earmark.apps.cli.text import say
from earmark.errors import EarmarkError, EarmarkWarning, StoreError

OBJECTS_BETWEEN_COLLECTIONS = 50_000  # the default of 700 makes importing torch 0.1 s slower
FAILED, MISTAKEN = 1, 2  # exit codes
STOPPED, NO_READER = 130, 141  # as shells have them after Ctrl-C, and after SIGPIPE
FULL = {errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)}

_show_as_python_does = warnings.showwarning


def main() -> None:
    """Run the command line; a user's mistake is one sentence on standard error, no traceback."""
    _take_any_name()
    signals.heed()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    atexit.register(gc.freeze)  # saves 0.3 s at the end: torch's objects are not collected
    warnings.showwarning = _show_warning
    try:
        code = _run()
        if code == STOPPED or signals.was_stopped():
            code = signals.say_stopped()
    except KeyboardInterrupt:  # while it was said what else had failed
        code = signals.say_stopped()
    sys.exit(code)


def _take_any_name() -> None:
    """Start again in Python's UTF-8 mode where its locale is ASCII, which most names do not fit."""
    mode, given = ["-X", "utf8"], sys.orig_argv[1:]
    if os.name == "posix" and sys.getfilesystemencoding() == "ascii" and given[:2] != mode:
        os.execv(sys.executable, [sys.executable, *mode, *given])


def _run() -> int:
    """Run the command that was typed, and write out what it printed; return the exit code."""
    try:
        _occupy_closed_streams()
        code = _command()
    except KeyboardInterrupt:
        code = STOPPED
    except EarmarkError as error:
        say(f"error: {error}")
        code = FAILED if isinstance(error, StoreError) or _is_of_the_disk(error) else MISTAKEN
    except OSError as error:
        code = _failed(error)
    except MemoryError:
        say("error: there is not enough memory; close other programs, or give less at a time.")
        code = FAILED
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        return _unwritten(error)
    return code


def _command() -> int:
    """Parse what was typed and call the command."""
    import typer

    from earmark.apps.cli.app import app

    try:
        return app(standalone_mode=False) or 0
    except typer.TyperException as error:
        text = io.StringIO()
        error.show(text)  # type: ignore[attr-defined]  # all that are raised have it
        say(*text.getvalue().splitlines())
        for word in sys.argv[1:]:
            if word.startswith("-") and len(word) > 1 and os.path.exists(word):
                say(f"The file {word!r} would be read as options; write ./{word}.")
        return error.exit_code
    except typer.Abort:
        return STOPPED
    except SystemExit as ended:  # Typer's answer to a pipe without a reader
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        raise


def _occupy_closed_streams() -> None:
    """Refuse a closed standard output; let no file that is opened later take a stream's number."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while (number := os.open(os.devnull, os.O_RDWR)) < 3:
            pass
        os.close(number)
    if sys.stdout is None:
        raise EarmarkError("standard output is closed; send it to a file, or to /dev/null.")


def _is_of_the_disk(error: BaseException | None) -> bool:
    """Say whether a full or failing disk is behind an error, so that no mistake was made."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__
    return False


def _failed(error: OSError) -> int:
    """Say what the system refused; where it was standard output, do not try it again."""
    try:
        sys.stdout.flush()
    except OSError as full:
        return _unwritten(full)
    if isinstance(error, BrokenPipeError):
        return _unwritten(error)
    where = error.filename or "standard output or a file"
    say(f"error: {where}: {error.strerror or error}; check the disk and its permissions.")
    return FAILED


def _unwritten(error: OSError) -> int:
    """Give up standard output, whose reader is gone, as with `| head`, or which is full."""
    sys.stdout = None
    if isinstance(error, BrokenPipeError):
        return NO_READER
    say(f"error: standard output cannot be written: {error.strerror}; free some space.")
    return FAILED


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning of earmark's as one line, and others as Python does."""
    if issubclass(category, EarmarkWarning):
        say(f"warning: {message}")
    else:
        _show_as_python_does(message, category, filename, lineno, file, line)
