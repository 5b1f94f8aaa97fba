"""Printing: messages, predictions, JSON and CSV."""

from __future__ import annotations

import codecs
import collections
import contextlib
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from earmark.errors import amount
from earmark.system.jsons import json_text
from earmark.system.text import one_line, to_bytes, to_csv

if TYPE_CHECKING:
    from earmark.classifier.prediction import Prediction
    from earmark.classifier.tagging import Tags
    from earmark.data.clip import Clip
    from earmark.embeddings.stages import Failure

JSON_SCHEMA = 1  # raised when a key of a command's JSON goes or changes its meaning
STRETCH = ("start", "end")  # columns
MOST_OF_A_KIND = 5  # warnings of one kind that are printed; the rest are counted
UNLIKE = "than the training clips"  # in warnings of recordings that were read whole
MOST_LISTED = 20  # skipped recordings that are printed; --json has them all


def say(*lines: str) -> None:
    """Print lines to standard error, if possible; results go to standard output (``show``)."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            _print(lines, sys.stderr)


def show(*lines: str) -> None:
    """Print lines of the result for people; pass each line of a longer text separately."""
    _print(lines, sys.stdout)


def warn_of(model: Path | str, warning: str | None) -> None:
    """Print the warning about a classifier, if it has one (see ``Estimate.warning``)."""
    if warning is not None:
        say(f"warning: {model}: {warning}")


def _print(lines: Sequence[str], stream: TextIO) -> None:
    r"""Print lines without control characters; '\u266b' for what the stream cannot encode."""
    encoding = _encoding(stream)
    for line in lines:
        shown = one_line(line).encode(encoding, "backslashreplace").decode(encoding)
        stream.write(f"{shown}\n")  # in one call: Ctrl-C may come between two writes
    stream.flush()


def _encoding(stream: TextIO) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


def print_json(value: dict[str, Any]) -> None:
    """Print one object on one line, with the number of the version of its keys."""
    value = {"schema": JSON_SCHEMA, **value}
    sys.stdout.write(f"{json_text(value, encoding=_encoding(sys.stdout))}\n")
    sys.stdout.flush()


def print_csv(rows: Sequence[Sequence[str]]) -> None:
    """Print rows as CSV; file names that the stream cannot encode keep their bytes.

    On a terminal, control characters in cells are escaped: a cell could hold commands for it.
    """
    if sys.stdout.isatty():
        rows = [[one_line(cell) for cell in row] for row in rows]
    text = to_csv(rows)
    if not hasattr(sys.stdout, "buffer"):  # a stream of text can take any text
        print(text, end="", flush=True)
        return
    codecs.register_error("earmark", _as_utf8)
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode(_encoding(sys.stdout), "earmark"))
    sys.stdout.buffer.flush()


def _as_utf8(error: UnicodeError) -> tuple[bytes, int]:
    """Encode in UTF-8 what the stream's encoding lacks: a file name must keep its bytes."""
    assert isinstance(error, UnicodeEncodeError)
    if error.encoding.startswith(("utf-16", "utf-32")):  # single bytes do not fit into these
        return codecs.backslashreplace_errors(error)  # type: ignore[return-value]
    return to_bytes(error.object[error.start : error.end]), error.end


def this_command() -> str:
    """Return the command as it was typed, for the report."""
    return shlex.join(["earmark", *sys.argv[1:]])


def class_text(label: str) -> str:
    """Return a class for printing beside figures; in quotes if it looks like a number."""
    try:
        float(label)
    except ValueError:
        return label
    return f"'{label}'"


def skipped_json(skipped: Sequence[Failure]) -> list[dict[str, str]]:
    """Return the recordings that could not be read, with the reasons."""
    return [{"path": failure.path, "reason": failure.reason} for failure in skipped]


def report_skipped(skipped: Sequence[Failure]) -> None:
    """List on standard error the recordings that could not be read, with the reasons."""
    if skipped:
        say(f"left out {amount(len(skipped), 'recording')} that could not be read:")
        _say_some([f"{failure.path}: {failure.reason}" for failure in skipped])


def report_read_warnings(warnings: Sequence[str], notes: Sequence[str] = ()) -> None:
    """List on standard error the warnings and notes of recordings that were read."""
    unlike = [text for text in warnings if UNLIKE in text]
    partial = [text for text in warnings if UNLIKE not in text]
    if partial:
        say(f"{amount(len(partial), 'recording')} could be read only in part, or with changes:")
        _say_some(partial)
    if unlike:
        say(_counted(unlike))
    if notes:
        say(f"note: {_counted(notes)}")


class Repeats:
    """Prints the first few warnings of each kind as they come, and counts the rest."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        self.counts: collections.Counter[str] = collections.Counter()

    def say(self, name: str, message: str) -> None:
        kind = re.sub(r"\d[\d.,]*", "", message)
        self.counts[kind] += 1
        if self.counts[kind] <= MOST_OF_A_KIND:
            say(f"{name}: {message}")
            self.kinds[kind] = message

    def finish(self) -> None:
        """Print how many more warnings of each kind there were."""
        for kind, message in self.kinds.items():
            if (more := self.counts[kind] - MOST_OF_A_KIND) > 0:
                say(f'{amount(more, "more warning")} like "{message}"; --json has each.')


def _counted(lines: Sequence[str]) -> str:
    """Return the first of several similar lines, and how many more there are."""
    others = f" ({len(lines) - 1} more like it; --json lists all)" if len(lines) > 1 else ""
    return f"{lines[0]}{others}"


def _say_some(lines: Sequence[str]) -> None:
    for line in lines[:MOST_LISTED]:
        say(f"  {line}")
    if len(lines) > MOST_LISTED:
        say(f"  and {len(lines) - MOST_LISTED} more; --json lists all.")


def prediction_text(prediction: Prediction, top: int, width: int, name: str = "") -> str:
    """Return one line: the path (or ``name``), then the ``top`` classes with their scores."""
    from earmark.classifier.prediction import UNKNOWN
    from earmark.data.clip import NO_CLASS

    best = list(prediction.scores.items())[:top]
    scores = "  ".join(f"{class_text(label)} {p:.3f}" for label, p in best)
    nearest = ""
    if not prediction.labels:
        nearest = f"{UNKNOWN if prediction.is_unknown else NO_CLASS}, nearest "
    plausible = ""
    if prediction.plausible is not None:
        plausible = f"  plausible: {', '.join(map(class_text, prediction.plausible)) or 'none'}"
    return f"{one_line(name or prediction.name):<{width}}  {nearest}{scores}{plausible}"


def are_stretches(recordings: Iterable[Clip | Path]) -> bool:
    """Return whether a list has clips that are stretches; these need columns for start and end."""
    clips = recordings if isinstance(recordings, list) else []
    return any((clip.start, clip.end) != (None, None) for clip in clips)


def stretch_cells(answer: Prediction | Tags) -> list[str]:
    """Return the cells for the columns ``STRETCH``; times read back unchanged."""
    return ["" if at is None else repr(float(at)).removesuffix(".0") for at in _stretch(answer)]


def stretch_json(answer: Prediction | Tags) -> dict[str, float | None]:
    """Return the start and end of a stretch in seconds; empty for a whole recording."""
    times = _stretch(answer)
    return {} if times == (None, None) else dict(zip(STRETCH, times, strict=True))


def _stretch(answer: Prediction | Tags) -> tuple[float | None, float | None]:
    return answer.start, answer.end


def prediction_json(prediction: Prediction, top: int) -> dict[str, Any]:
    """Return the object that ``predict --json`` prints for one recording."""
    stretch = stretch_json(prediction)
    if prediction.error is not None:
        return {"path": prediction.path, **stretch, "error": prediction.error}
    classes = prediction.plausible
    details = {
        "nearest": None if prediction.labels else prediction.nearest,
        "warnings": list(prediction.warnings) or None,
        "notes": list(prediction.notes) or None,
        "plausible": None if classes is None else list(classes),
    }
    return {
        "path": prediction.path,
        **stretch,
        "label": prediction.label if prediction.labels or prediction.is_unknown else None,
        "labels": list(prediction.labels),
        "score": prediction.score,
        "scores": dict(list(prediction.scores.items())[:top]),
        "seconds": prediction.seconds,
        "is_unknown": prediction.is_unknown,
        **{name: value for name, value in details.items() if value is not None},
    }
