"""Start and end of a command: streams, signals, exit codes, and one sentence for each failure."""

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

OBJECTS_BETWEEN_COLLECTIONS = 50_000  # with the default of 700, importing torch takes 0.1 s more
FAILED, MISTAKEN = 1, 2  # exit codes
STOPPED, NO_READER = 130, 141  # exit codes that shells use for Ctrl-C and for SIGPIPE
FULL = {errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)}

_show_as_python_does = warnings.showwarning


def main() -> None:
    """Run the command line; a user's mistake prints an error on standard error, no traceback."""
    _take_any_name()
    signals.heed()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    atexit.register(gc.freeze)  # saves 0.3 s at the end: nothing of torch is collected
    warnings.showwarning = _show_warning
    try:
        code = _run()
        if code == STOPPED or signals.was_stopped():
            code = signals.say_stopped()
    except KeyboardInterrupt:  # Ctrl-C while another failure was reported
        code = signals.say_stopped()
    sys.exit(code)


def _take_any_name() -> None:
    """Restart in Python's UTF-8 mode if the locale is ASCII, which cannot hold most file names."""
    mode, arguments = ["-X", "utf8"], sys.orig_argv[1:]
    if os.name == "posix" and sys.getfilesystemencoding() == "ascii" and arguments[:2] != mode:
        os.execv(sys.executable, [sys.executable, *mode, *arguments])


def _run() -> int:
    """Run the command, flush standard output, and return the exit code."""
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
        say("error: there is not enough memory. Close other programs, or use less data at a time.")
        code = FAILED
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        return _unwritten(error)
    return code


def _command() -> int:
    """Parse the command line and call the command."""
    import typer

    from earmark.apps.cli.app import app

    try:
        return app(standalone_mode=False) or 0
    except typer.TyperException as error:
        text = io.StringIO()
        error.show(text)  # type: ignore[attr-defined]  # every error that Typer raises has it
        say(*text.getvalue().replace(": Value error, ", ": ").splitlines())  # words of pydantic
        for word in sys.argv[1:]:
            if word.startswith("-") and len(word) > 1 and os.path.exists(word):
                say(f"{word!r} is a file, but its name looks like an option. Write ./{word}.")
        return error.exit_code
    except typer.Abort:
        return STOPPED
    except SystemExit as exit_error:  # Typer raises it for a pipe without a reader
        if isinstance(exit_error.__context__, BrokenPipeError):
            raise exit_error.__context__ from None
        raise


def _occupy_closed_streams() -> None:
    """Refuse a closed standard output, and fill the file numbers of other closed streams.

    A file opened later could otherwise get the number of a standard stream.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while (number := os.open(os.devnull, os.O_RDWR)) < 3:
            pass
        os.close(number)
    if sys.stdout is None:
        raise EarmarkError("standard output is closed. Send it to a file, or to /dev/null.")


def _is_of_the_disk(error: BaseException | None) -> bool:
    """Return whether a full or failing disk caused the error, rather than the user."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__
    return False


def _failed(error: OSError) -> int:
    """Report an error of the system; stop using standard output if it caused the error."""
    try:
        sys.stdout.flush()
    except OSError as full:
        return _unwritten(full)
    if isinstance(error, BrokenPipeError):
        return _unwritten(error)
    where = error.filename or "standard output or a file"
    say(f"error: {where}: {error.strerror or error}. Check the disk and its permissions.")
    return FAILED


def _unwritten(error: OSError) -> int:
    """Stop using standard output: its reader is gone (as with `| head`), or its disk is full."""
    sys.stdout = None
    if isinstance(error, BrokenPipeError):
        return NO_READER
    say(f"error: cannot write standard output: {error.strerror}. Free some space.")
    return FAILED


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning of earmark as one line, and others as Python does."""
    if issubclass(category, EarmarkWarning):
        say(f"warning: {message}")
    else:
        _show_as_python_does(message, category, filename, lineno, file, line)
