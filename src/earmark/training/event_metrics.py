"""How good detected events are: match them with the true events and compute the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from earmark.data.event import RecordingEvents
from earmark.training import event_tables
from earmark.training.event_figures import (
    CRITERIA,
    BoundaryErrors,
    Confusion,
    EventEvaluation,
    EventFigures,
    MatchCounts,
)
from earmark.training.event_intervals import most_per_hour, rate_intervals, share_intervals
from earmark.training.event_matching import (
    CollarCriterion,
    IouCriterion,
    expand,
    first_at_least,
    match,
)
from earmark.training.event_segments import count_segments
from earmark.training.event_tables import EventTables, Units, tabulate

COLLAR_S = 0.2  # DCASE's
Matches = tuple[np.ndarray, np.ndarray]  # rows of true events, and of answers
Intervals = dict[str, np.ndarray]  # (K + 1, 2) by figure: each label, and all together


def evaluate_events(
    truth: Sequence[RecordingEvents],
    answers: Sequence[RecordingEvents],
    *,
    collar_s: float = COLLAR_S,
    seed: int = 0,
    groups: Mapping[str, str] | None = None,
) -> EventEvaluation:
    """Compare answers with the true events of the same recordings.

    An answer is right if it is matched with a true event of its class. Every event is matched at
    most once, and as many as possible are. Three criteria are used: an intersection over union of
    at least 0.3, of at least 0.5, and the collar. Only events whose middle lies in an annotated
    region count; they count as a whole.

    Parameters
    ----------
    truth : list of RecordingEvents
        The true events. ``regions`` are the stretches that were annotated.
    answers : list of RecordingEvents
        The detected events. A recording without answers may be missing.
    collar_s : float
        An answer matches by collar if its onset is within ``collar_s``, and its offset within the
        longer of ``collar_s`` and 20 % of the true duration.
    seed : int
        The seed of the bootstrap.
    groups : mapping, optional
        The group of each path. Recordings of a group are not independent, so the intervals
        resample groups.

    Returns
    -------
    EventEvaluation

    Raises
    ------
    DataError
        If a recording comes twice, or if one of ``answers`` is not in ``truth``.
    """
    tables = tabulate(truth, answers)
    criteria = (IouCriterion(0.3), IouCriterion(0.5), CollarCriterion(collar_s))
    matches = [match(tables.truth, tables.answers, criterion) for criterion in criteria]
    units = event_tables.units(tables, groups)
    counts = np.stack([_counts(tables, units, *rows) for rows in matches])  # (3, U, K + 1, 3)
    segments = count_segments(tables)
    segments = np.concatenate([segments, segments.sum(0, keepdims=True)])
    intervals = _intervals(counts, units, tables.hours, seed)
    *classes, overall = (
        _figures(tables, k, counts.sum(1)[:, k], segments[k], intervals, matches[0])
        for k in range(len(tables.labels) + 1)
    )
    return EventEvaluation(
        n_recordings=len(tables.paths),
        hours=tables.hours,
        collar_s=collar_s,
        resampled=units.name,
        overall=overall,
        classes=tuple(classes),
        confusions=_confusions(tables, matches[0][1]),
    )


def _counts(
    tables: EventTables, units: Units, matched: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Return (U, K + 1, 3): right, false and missed events by unit and label, and of all labels.

    A match belongs to the unit of its true event.
    """
    truth, answers, n_labels = tables.truth, tables.answers, len(tables.labels)
    is_missed, is_false = np.ones(len(truth), bool), np.ones(len(answers), bool)
    is_missed[matched], is_false[right] = False, False
    counts = np.zeros((len(units.seconds), n_labels + 1, 3))
    chosen = ((truth, matched), (answers, is_false), (truth, is_missed))
    for kind, (table, rows) in enumerate(chosen):
        events = table.take(rows)
        np.add.at(counts[..., kind], (units.of(events), events.label), 1)
    counts[:, -1] = counts.sum(1)
    return counts


def _intervals(counts: np.ndarray, units: Units, hours: float | None, seed: int) -> Intervals:
    """Return the 95 % intervals of the figures; ``counts`` is (3, U, K + 1, 3)."""
    right, false, missed = np.moveaxis(counts, -1, 0)
    f1s = {f"f1_{name}": (2 * right[i], false[i] + missed[i]) for i, name in enumerate(CRITERIA)}
    shares = {**f1s, "precision": (right[0], false[0]), "recall": (right[0], missed[0])}
    part = np.concatenate([hits for hits, _ in shares.values()], axis=1)
    whole = part + np.concatenate([errors for _, errors in shares.values()], axis=1)
    values = np.split(share_intervals(part, whole, seed), len(shares))
    intervals = dict(zip(shares, values, strict=True))
    if hours:
        intervals["false_per_hour"] = rate_intervals(false[0], units.seconds / 3600, seed)
    return intervals


def _figures(
    tables: EventTables,
    k: int,
    counts: np.ndarray,
    segments: np.ndarray,
    intervals: Intervals,
    matches: Matches,
) -> EventFigures:
    """Return the figures of label ``k``; of all labels if ``k`` is their number."""
    counted = {
        name: MatchCounts(*row)
        for name, row in zip(CRITERIA, counts.astype(int).tolist(), strict=True)
    }
    own = {name: rows[k] for name, rows in intervals.items() if not np.isnan(rows[k]).any()}
    is_all, hours = k == len(tables.labels), tables.hours
    rows = np.full(len(matches[0]), True) if is_all else tables.truth.label[matches[0]] == k
    true, answer = tables.truth.take(matches[0][rows]), tables.answers.take(matches[1][rows])
    false = counted["iou30"].false
    return EventFigures(
        label=None if is_all else tables.labels[k],
        **counted,
        segments=MatchCounts(*segments.tolist()),
        false_per_hour=false / hours if hours else None,
        false_per_hour_upper=most_per_hour(false, hours) if hours else None,
        onset_error=_boundary_errors(answer.start - true.start),
        offset_error=_boundary_errors(answer.end - true.end),
        intervals={name: (float(low), float(high)) for name, (low, high) in own.items()},
    )


def _boundary_errors(errors: np.ndarray) -> BoundaryErrors | None:
    if not len(errors):
        return None
    absolute = np.abs(errors)
    return BoundaryErrors(
        float(np.median(errors)), float(np.median(absolute)), float(np.quantile(absolute, 0.9))
    )


def _confusions(tables: EventTables, right: np.ndarray) -> tuple[Confusion, ...]:
    """Return how many false answers have their middle in a true event of another label.

    If there are several such events, the answer is counted for the one that it overlaps most.
    """
    is_false = np.ones(len(tables.answers), bool)
    is_false[right] = False
    false = tables.answers.take(is_false)
    false = false.take(np.lexsort((false.middle, false.recording)))
    truth, middle = tables.all_truth, false.middle
    low = np.searchsorted(false.recording, truth.recording, "left")
    high = np.searchsorted(false.recording, truth.recording, "right")
    first = first_at_least(middle, truth.start, low, high)
    last = first_at_least(middle, truth.end, first, high)
    most, label = np.zeros(len(false)), np.full(len(false), -1)
    for true, answer in expand(first, last):
        both = np.minimum(truth.end[true], false.end[answer])
        both -= np.maximum(truth.start[true], false.start[answer])
        both[truth.label[true] == false.label[answer]] = -1
        order = np.lexsort((-true, both))  # the last one of an answer is the one that stays
        true, answer, both = true[order], answer[order], both[order]
        better = both > most[answer]
        most[answer[better]], label[answer[better]] = both[better], truth.label[true[better]]
    pair = np.stack([label, false.label], axis=1)[label >= 0]
    kinds, counts = np.unique(pair.reshape(-1, 2), axis=0, return_counts=True)
    rows = [
        Confusion(tables.labels[k], tables.labels[answered], count)
        for (k, answered), count in zip(kinds.tolist(), counts.tolist(), strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: (-row.count, row.label, row.answered)))
