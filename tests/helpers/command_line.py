"""The command line as `main` runs it, in this process: one of its own costs 2 to 3 s of imports.

What only a process has (its start, signals, what it imports) is tested in processes of their own.
"""

import atexit
import contextlib
import gc
import io
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from earmark.apps import cli
from earmark.apps.cli import signals


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def earmark(
    *arguments: object, stdin: str | bytes = "", expect: int = 0, cwd: Path | None = None
) -> Done:
    """Run ``earmark ARGUMENTS``; an exception that `main` lets through fails the test."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        _as_a_process(["earmark", *map(str, arguments)], stdin, cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    done = Done(code, out.getvalue(), err.getvalue())
    assert done.returncode == expect, done.stderr
    return done


@contextlib.contextmanager
def _as_a_process(argv: list[str], stdin: str | bytes, cwd: Path | None) -> Iterator[None]:
    """Give `main` arguments, input and folder, and take back what it sets for its process."""
    here, collections = Path.cwd(), gc.get_threshold()
    text = io.StringIO(stdin) if isinstance(stdin, str) else io.TextIOWrapper(io.BytesIO(stdin))
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "stdin", text),
        mock.patch.object(warnings, "showwarning", warnings.showwarning),
    ):
        try:
            os.chdir(cwd or here)
            yield
        finally:
            os.chdir(here)
            signals.unheed()
            gc.set_threshold(*collections)
            atexit.unregister(gc.freeze)
