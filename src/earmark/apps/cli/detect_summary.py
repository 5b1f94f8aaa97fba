"""The end of ``earmark detect``: how many events of each class there were in each hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from earmark.apps.cli.progress import span_text
from earmark.apps.cli.text import class_text
from earmark.data.event import RecordingEvents
from earmark.data.event_counts import HourCounts, counts
from earmark.system.text import one_line

MOST_ROWS, MOST_CLASSES = 24, 6
DAY = 24  # hours
LEAST_S = 0.5  # of an hour in which there is no event


def count_lines(recordings: Iterable[RecordingEvents]) -> list[str]:
    """Return a table with a row for each hour (or day, if there are many) and the total.

    The classes with the most events have columns; the others share one.
    """
    rows = [row for row in counts(recordings) if row.events or row.seconds >= LEAST_S]
    total = sum((row.events for row in rows), Counter[str]())
    if not total:
        return []
    classes = [label for label, _ in total.most_common(MOST_CLASSES + 1)]
    if len(classes) > MOST_CLASSES:
        classes = classes[:-2]
    rest = f"{len(total) - len(classes)} others" if len(classes) < len(total) else ""
    head = ["", *(one_line(class_text(label))[:20] for label in classes), *([rest] if rest else [])]
    head += ["all", "searched"]
    table = [head, *(_cells(row, classes, bool(rest)) for row in _grouped(rows))]
    if len(table) > 2:
        seconds = sum(row.seconds for row in rows)
        table.append(_cells(HourCounts("total", seconds, total), classes, bool(rest)))
    widths = [max(len(row[k]) for row in table) for k in range(len(head))]
    return [_line(row, widths) for row in table]


def _cells(row: HourCounts, classes: Sequence[str], has_rest: bool) -> list[str]:
    numbers = [row.events[label] for label in classes]
    total = sum(row.events.values())
    numbers += [total - sum(numbers)] if has_rest else []
    return [row.hour, *(f"{n:,}" for n in (*numbers, total)), span_text(row.seconds)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])


def _grouped(rows: Sequence[HourCounts]) -> list[HourCounts]:
    """Join the hours of recordings without a clock time until the table is short enough."""
    clocked = [row for row in rows if not row.hour.startswith("hour")]
    others = rows[len(clocked) :]
    step = 1 if len(others) <= MOST_ROWS else DAY * -(-len(others) // (DAY * MOST_ROWS))
    for start in range(0, len(others), step):
        group = others[start : start + step]
        name = group[0].hour
        if len(group) > 1:
            name = f"hours {name.split()[1]}-{group[-1].hour.split()[1]}"
        events = sum((row.events for row in group), Counter[str]())
        clocked.append(HourCounts(name, sum(row.seconds for row in group), events))
    return clocked
