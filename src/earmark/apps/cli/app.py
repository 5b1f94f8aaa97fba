"""The command line: parse, call one library function, print."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import Annotated

import typer

from earmark.apps.cli import backbones, cache, compare, data, review
from earmark.apps.cli import predict as listen
from earmark.apps.cli import text as console
from earmark.apps.cli import train as learn
from earmark.errors import EarmarkError, StoreError

OBJECTS_BETWEEN_COLLECTIONS = 50_000  # the default of 700 makes importing torch 0.1 s slower

app = typer.Typer(
    name="earmark",
    help="Turn a folder of labelled recordings into an audio classifier you can trust and ship.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    learn.train,
    learn.evaluate,
    review.review,
    compare.compare,
    listen.predict,
    listen.tag,
    listen.embed,
    learn.doctor,
    learn.demo,
):
    app.command()(command)
app.add_typer(backbones.app, name="backbones")
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")


def _version(wanted: bool) -> None:
    if wanted:
        from earmark import __version__

        print(f"earmark {__version__}")
        raise typer.Exit


@app.callback()
def _earmark(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; a user's mistake is one sentence on standard error, no traceback."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    atexit.register(gc.freeze)  # what torch has made is not looked through again to end: 0.3 s
    try:
        app()
    except StoreError as error:
        console.say(f"error: {error}")
        sys.exit(1)
    except EarmarkError as error:
        console.say(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        console.say("stopped; what was embedded so far is in the store.")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        sys.stdout = None
        sys.exit(1)
