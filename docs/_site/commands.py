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

    command = typer.main.get_command(app)
    return "\n".join([*_summary(command, "earmark"), "", *_lines(command, "earmark")])


def _summary(command: Any, name: str) -> Iterator[str]:
    """Yield a line for each command, which leads to it."""
    for word, below in _sorted(command):
        if getattr(below, "commands", {}):
            yield from _summary(below, f"{name} {word}")
        else:
            title = f"{name} {word}"
            first = (below.help or "").partition("\n")[0]
            yield f"- [`{title}`](#{title.replace(' ', '-')}): {_escaped(first)}"


def _sorted(command: Any) -> list[tuple[str, Any]]:
    """Return the commands below one by name, those with commands of their own last."""
    below = getattr(command, "commands", {}).items()
    return sorted(below, key=lambda pair: (hasattr(pair[1], "commands"), pair[0]))


def _lines(command: Any, name: str) -> Iterator[str]:
    context = command.context_class(command, info_name=name)
    parameters = [p for p in command.params if p.name != "help"]
    yield f"{'##' if len(name.split()) < 3 else '###'} {name}\n"
    yield f"{(command.help or '').strip()}\n"
    if not getattr(command, "commands", {}):
        yield f"```\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    for parameter in parameters:
        record = parameter.get_help_record(context)
        if record is not None:
            yield f"`{record[0]}`\n: {_escaped(record[1])}\n"
    for word, below in _sorted(command):
        yield from _lines(below, f"{name} {word}")


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
