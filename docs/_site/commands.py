"""The page of the command line, written from the program whenever the site is built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer.main

MARK = "<!-- the commands -->"


def markdown() -> str:
    """Return every command with its arguments, options, choices and defaults."""
    from earmark.apps.cli.app import app

    return "\n".join(_lines(typer.main.get_command(app), "earmark"))


def _lines(command: Any, name: str) -> Iterator[str]:
    context = command.context_class(command, info_name=name)
    parameters = [p for p in command.params if p.name != "help"]
    below = getattr(command, "commands", {})
    yield f"{'##' if len(name.split()) < 3 else '###'} {name}\n"
    yield f"{(command.help or '').strip()}\n"
    if not below:
        yield f"```\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    for parameter in parameters:
        record = parameter.get_help_record(context)
        if record is not None:
            yield f"`{record[0]}`\n: {_escaped(record[1])}\n"
    for word in sorted(below, key=lambda word: (hasattr(below[word], "commands"), word)):
        yield from _lines(below[word], f"{name} {word}")


def _escaped(text: str) -> str:
    """Return a help text as Markdown; what stands in `...` is code already."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"\s+", " ", text))
    return "".join(p if p.startswith("`") else re.sub(r"([\\*_<\[\]])", r"\\\1", p) for p in parts)


def _read(app: Any, name: str, source: list[str]) -> None:
    if name == "reference/command-line":
        source[0] = source[0].replace(MARK, markdown())


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
