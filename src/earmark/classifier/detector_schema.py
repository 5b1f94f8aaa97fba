"""The schema of the part of a classifier's file that makes it a detector.

Unknown keys are allowed in its estimate, because a later earmark may add some there.
"""

from __future__ import annotations

from earmark.classifier.schema_rules import (
    COUNT,
    NAME,
    SHARE,
    array,
    boolean,
    interval,
    nullable,
    number,
    record,
    text,
)

_rate = number(0)  # events per hour
_share = nullable(SHARE)
_counts = record(dict.fromkeys(("right", "missed", "false"), COUNT))
_errors = nullable(
    record(
        {"median": number(), "median_absolute": number(0), "p90_absolute": number(0)}, is_open=True
    )
)
_shares = ("precision", "recall", "f1_iou30", "f1_iou50", "f1_collar")
_intervals = {**dict.fromkeys(_shares, interval()), "false_per_hour": interval(of=_rate)}
EVENT_FIGURES = record(
    {
        "label": nullable(NAME),
        **dict.fromkeys((*_shares, "f1_segments"), _share),
        "false_per_hour": nullable(_rate),
        "false_per_hour_upper": nullable(_rate),
        "onset_error_s": _errors,
        "offset_error_s": _errors,
        "ci95": record({}, _intervals, is_open=True),
        "counts": record(
            dict.fromkeys(("iou30", "iou50", "collar", "segments"), _counts), is_open=True
        ),
    },
    is_open=True,
)
EVENT_ESTIMATE = record(  # empty if the rules were written by hand
    {},
    {
        "recordings": COUNT,
        "hours": nullable(_rate),
        "collar_s": number(0),
        "resampled": text(),
        **dict.fromkeys(("macro_f1_iou30", "macro_f1_iou50", "macro_f1_collar"), _share),
        "overall": EVENT_FIGURES,
        "classes": array(EVENT_FIGURES),
        "confusions": array(record({"label": NAME, "answered": NAME, "count": COUNT})),
        "unknown": record(
            {},
            {"below": nullable(number())}
            | dict.fromkeys(("answered_before", "answered", "lost"), _share),
            is_open=True,
        ),
    },
    is_open=True,
)
EVENT_RULES = record(
    {
        "thresholds": array(nullable(number(0, above=True)), least=1),
        "leave": number(0, 1, above=True),
        "before_s": number(),
        "after_s": number(),
        "min_gap_s": number(0),
        "min_duration_s": number(0),
        "max_duration_s": nullable(number(0, above=True)),
        "pad_s": number(0),
        "compete": boolean,
        "unknown_threshold": nullable(number()),
        "show_unknown": boolean,
        "calibration": nullable(array(number(), 2, 2)),
    }
)
DETECTOR = record(
    {
        "window_s": number(0, 3600, above=True),
        "hop_s": number(0, 3600, above=True),
        "has_background": boolean,
        "rules": EVENT_RULES,
        "estimate": EVENT_ESTIMATE,
    }
)
