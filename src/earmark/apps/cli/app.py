"""The commands together, the exit codes, and one sentence for a mistake."""

import atexit
import gc
import io
import os
import sys
import warnings
from typing import TextIO

import typer

from earmark.apps.cli import (
    backbones,
    cache,
    compare,
    data,
    demo,
    doctor,
    embed,
    evaluate,
    predict,
    review,
    tag,
    train,
)
from earmark.apps.cli.parsing import add, new_app
from earmark.apps.cli.text import say
from earmark.errors import EarmarkError, EarmarkWarning, StoreError

OBJECTS_BETWEEN_COLLECTIONS = 50_000  # the default of 700 makes importing torch 0.1 s slower
FAILED, MISTAKEN, STOPPED = 1, 2, 130  # exit codes; 130 is what shells expect after Ctrl-C

app = new_app(
    "Turn a folder of labelled recordings into an audio classifier you can trust and ship."
)
add(app, train.train, evaluate.evaluate, review.review, compare.compare, predict.predict)
add(app, tag.tag, embed.embed, doctor.doctor, demo.demo)
app.add_typer(backbones.app, name="backbones")
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")

_show_as_python_does = warnings.showwarning


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from earmark import __version__

        print(f"earmark {__version__}")
        raise typer.Exit


@app.callback()
def _earmark(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line; a user's mistake is one sentence on standard error, no traceback."""
    _take_any_name()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    atexit.register(gc.freeze)  # saves 0.3 s at the end: torch's objects are not collected
    warnings.showwarning = _show_warning
    sys.exit(_run())


def _take_any_name() -> None:
    """Start again in Python's UTF-8 mode where its locale is ASCII, which most names do not fit."""
    mode, given = ["-X", "utf8"], sys.orig_argv[1:]
    if os.name == "posix" and sys.getfilesystemencoding() == "ascii" and given[:2] != mode:
        os.execv(sys.executable, [sys.executable, *mode, *given])


def _run() -> int:
    """Run the command that was typed; return the exit code."""
    code = STOPPED
    try:
        code = app(standalone_mode=False) or 0
        sys.stdout.flush()
    except typer.TyperException as error:
        text = io.StringIO()
        error.show(text)  # type: ignore[attr-defined]  # all that are raised have it
        say(*text.getvalue().splitlines())
        return error.exit_code
    except EarmarkError as error:
        say(f"error: {error}")
        return FAILED if isinstance(error, StoreError) else MISTAKEN
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        sys.stdout = None
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        pass
    if code == STOPPED:
        say("stopped; the same command goes on from here.")
    return code


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
