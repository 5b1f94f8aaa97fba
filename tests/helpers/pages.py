"""README and docs as their readers see them: the commands in blocks, and those within sentences.

A block of a shell has lines that begin with ``$ ``; what follows, up to the next, is output. An
indented line that begins with the name of a program is a command, too. A line ``earmark ...``
without ``$`` in a block is a synopsis: brackets hold what may be left out.
"""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
}
_PROGRAM = r"(?:[A-Z_]+=\S+ )*(?:earmark|python|pip|make)\b(?!\.)"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
_INDENTED = re.compile(rf"^ {{4}}({_PROGRAM}.*)$", re.M)
_SPAN = re.compile(rf"(?<!`)`({_PROGRAM}[^`\n]*)`(?!`)")


@dataclass(frozen=True)
class Command:
    """A command of a page, as it is written there, and the output that is shown below it."""

    page: str
    text: str
    output: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"

    @property
    def words(self) -> list[str]:
        """The program and its arguments, without a comment, settings and where output goes."""
        words = shlex.split(self.text, comments=True)[len(self.settings) :]
        return list(itertools.takewhile(lambda word: word not in (">", "<", "|"), words))

    @property
    def settings(self) -> dict[str, str]:
        """The settings of the environment that stand before the program."""
        found = re.match(r"(?:[A-Z_]+=\S+ )*", self.text)
        return dict(setting.split("=", 1) for setting in found[0].split()) if found else {}


def shown_commands() -> list[Command]:
    """Return the commands of all pages that a reader is to type, page after page, in order."""
    commands = []
    for page, text in PAGES.items():
        end = 0
        for fence in (*_FENCE.finditer(text), None):
            between = text[end : fence.start() if fence else None]
            commands += [Command(page, line.strip()) for line in _INDENTED.findall(between)]
            if not fence:
                break
            end = fence.end()
            if fence[1] in ("", "console"):
                for part in re.split(r"^\$ ", fence[2], flags=re.M)[1:]:
                    line, *output = part.splitlines()
                    commands.append(Command(page, line, tuple(filter(str.strip, output))))
    return commands


def synopses() -> list[Command]:
    """Return the synopses of all pages."""
    return [
        Command(page, line)
        for page, text in PAGES.items()
        for language, block in _FENCE.findall(text)
        if language in ("", "console")
        for line in block.splitlines()
        if line.startswith("earmark ")
    ]


def named_commands() -> list[Command]:
    """Return the commands within sentences and tables, often with parts left out."""
    return [
        Command(page, span.strip())
        for page, text in PAGES.items()
        for span in _SPAN.findall(_FENCE.sub("", text))
    ]
