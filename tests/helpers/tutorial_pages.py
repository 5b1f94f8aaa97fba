"""Run the blocks of a tutorial in order, and compare what they print with what the page shows.

    PYTHONPATH=tests/helpers:src python tests/helpers/tutorial_pages.py PAGE...

writes what is printed into the pages.

A ``console`` block has commands after ``$``, each followed by its output. A ``python`` block may
have a ``text`` block behind it with what it prints. A line ``...`` stands for any lines.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
# Their output depends on nothing but the clone; from-the-article needs weights.
SELF_CONTAINED = (
    "birds-in-the-field",
    "spoken-commands",
    "recorders-in-the-field",
    "a-wake-word",
    "from-scikit-learn",
    "../how-to/use-scikit-learn",  # a page that is run like a tutorial
)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True)
class Output:
    """What a page shows at ``begin..end`` of its text, and what was printed when it ran."""

    source: str
    begin: int
    end: int
    shown: str
    printed: str

    def agrees(self, *, figures: bool = False) -> bool:
        """Say whether both are the same but for blanks and lines that ``...`` stands for.

        Figures may differ from machine to machine. With ``figures`` only seconds may.
        """

        def masked(line: str) -> str:
            line = " ".join(line.split())
            return line if figures and not line.startswith("seconds") else NUMBER.sub("#", line)

        pattern = "".join(
            r"(?:.*\n)*?" if line.strip() == "..." else re.escape(masked(line)) + r"\n"
            for line in self.shown.splitlines()
        )
        printed = "".join(f"{masked(line)}\n" for line in self.printed.splitlines())
        return re.fullmatch(pattern, printed) is not None


def run(text: str) -> Iterator[Output]:
    """Run a page's blocks in the current folder and yield each output that it shows."""
    names: dict[str, Any] = {"__name__": "__main__"}
    fences = list(FENCE.finditer(text))
    for fence, after in itertools.zip_longest(fences, fences[1:]):
        if fence[1] == "console":
            yield from _commands(fence[2], fence.start(2))
        elif fence[1] == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(fence[2], f"<{fence[2].partition(chr(10))[0]}>", "exec"), names)
            is_shown = after is not None and after[1] == "text"
            if is_shown and not text[fence.end() : after.start()].strip():
                yield Output(fence[2], after.start(2), after.end(2), after[2], out.getvalue())


def _commands(block: str, begin: int) -> Iterator[Output]:
    matches = list(re.finditer(r"^\$ (.*\n)", block, re.M))
    ends = [m.start() for m in matches[1:]] + [len(block)]
    for match, end in zip(matches, ends, strict=True):
        printed = _command(match[1].strip())
        at, until = match.end(), end
        yield Output(match[1], begin + at, begin + until, block[at:until], printed)


def _command(line: str) -> str:
    """Run ``earmark ...`` and return its messages, then its result unless ``> FILE`` takes it.

    ``< FILE`` is its standard input.
    """
    import command_line

    code = re.search(r"# exit code (\d)", line)
    name, *arguments = shlex.split(line, comments=True)
    target, source = _taken(arguments, ">"), _taken(arguments, "<")
    assert name == "earmark", f"a tutorial runs earmark and nothing else: {line}"
    stdin = b"" if source is None else Path(source).read_bytes()
    done = command_line.earmark(*arguments, stdin=stdin, expect=int(code[1]) if code else 0)
    if target is not None:
        Path(target).write_text(done.stdout, encoding="utf-8")
    return done.stderr + (done.stdout if target is None else "")


def _taken(arguments: list[str], sign: str) -> str | None:
    """Remove ``sign FILE`` from arguments, and return the file."""
    if sign not in arguments:
        return None
    k = arguments.index(sign)
    file = arguments[k + 1]
    del arguments[k : k + 2]
    return file


def refresh(page: Path) -> None:
    """Write into ``page`` what its blocks print, where it shows something else."""
    text = page.read_text(encoding="utf-8")
    for output in reversed(list(run(text))):
        if not output.agrees(figures=True):
            text = text[: output.begin] + output.printed + text[output.end :]
    page.write_text(text, encoding="utf-8")


def main() -> None:
    """Refresh the pages named on the command line, or all."""
    os.environ.update(EARMARK_OFFLINE="1", EARMARK_WEIGHTS="")
    for name in sys.argv[1:] or SELF_CONTAINED:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["EARMARK_CACHE"] = f"{folder}/cache"
            (work := Path(folder) / "work").mkdir()
            os.chdir(work)
            refresh(TUTORIALS / f"{name}.md")
            os.chdir(TUTORIALS)


if __name__ == "__main__":
    main()
