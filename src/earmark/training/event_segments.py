"""Count the segments of a second in which a label was answered and in which it is true."""

from __future__ import annotations

import numpy as np

from earmark.training.event_matching import expand
from earmark.training.event_tables import EventTables, flat_regions

ROUNDING = 1e-6  # of a segment: an event that ends at 3.0000000001 s is in 3 segments


def count_segments(tables: EventTables, segment_s: float = 1.0) -> np.ndarray:
    """Return (K, 3): of each label, the segments that are right, false and missed.

    A segment has a label if an event with it overlaps the segment. It counts if its middle lies in
    an annotated region; the middle of the event need not.
    """
    n_labels = len(tables.labels)
    keys, spans = [], []
    for table in (tables.all_truth, tables.all_answers):
        first = np.floor(table.start / segment_s + ROUNDING)
        keys.append(table.group(n_labels))
        spans.append((first, np.maximum(np.ceil(table.end / segment_s - ROUNDING), first + 1)))
    groups = np.unique(np.concatenate(keys))
    region_keys, *region_spans = _region_segments(tables, groups, segment_s)
    keys.append(region_keys)
    spans.append((region_spans[0], region_spans[1]))
    return _sweep(keys, spans, n_labels)


def _region_segments(
    tables: EventTables, groups: np.ndarray, segment_s: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return group, first segment and last + 1 of each region, for every group that has events."""
    whole = ((-np.inf, np.inf),)
    regions = [whole if several is None else several for several in tables.regions]
    place, start, end = flat_regions(regions)
    recording = groups // max(1, len(tables.labels))
    low = np.searchsorted(place, recording, "left")
    blocks = list(expand(low, np.searchsorted(place, recording, "right")))
    row, region = (np.concatenate(column) for column in zip(*blocks, strict=True))
    first, last = (np.ceil(time[region] / segment_s - 0.5) for time in (start, end))
    return groups[row], first, last


def _sweep(
    keys: list[np.ndarray], spans: list[tuple[np.ndarray, np.ndarray]], n_labels: int
) -> np.ndarray:
    """Return (K, 3) of how many segments truth and answers, only answers, only truth cover.

    ``keys`` and ``spans`` are those of true events, of answers, and of regions, which limit both.
    """
    key = np.concatenate([np.tile(k, 2) for k in keys])
    place = np.concatenate([side for span in spans for side in span])
    change = np.zeros((len(key), 3), np.int64)
    row = 0
    for kind, k in enumerate(keys):
        change[row : row + len(k), kind] = 1
        change[row + len(k) : row + 2 * len(k), kind] = -1
        row += 2 * len(k)
    order = np.lexsort((place, key))
    key, place = key[order], place[order]
    true, answered, counts = (np.cumsum(change[order], axis=0)[:-1] > 0).T
    with np.errstate(invalid="ignore"):
        length = np.diff(place)
    length = np.where((np.diff(key) == 0) & (true | answered) & counts, length, 0)
    kinds = (true & answered, ~true & answered, true & ~answered)
    label = key[:-1] % max(1, n_labels)
    columns = [np.bincount(label, length * kind, n_labels) for kind in kinds]
    return np.stack(columns, axis=1).astype(np.int64)
