"""Figures that sed_eval computes, which ours must equal.

sed_eval 0.2.1 needs dcase_util and, with that, librosa, numba, matplotlib and others, so it is no
dependency of the tests. Its figures of made events stand in tests/training/sed_eval_golden.json.
Made with sed_eval 0.2.1, dcase_util 0.2.20 and NumPy 2.4.6 by

    pip install sed_eval==0.2.1 'setuptools<81'
    PYTHONPATH=src:tests/helpers python tests/helpers/sed_eval_figures.py
"""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

from earmark.data.event import Event
from made_events import LABELS, draw_events

GOLDEN = Path(__file__).parents[1] / "training" / "sed_eval_golden.json"
CASES = (0, 1, 2, 3)  # seeds of draw_events
COLLARS = (0.2, 0.05)
Events = list[list[Event]]


def figures_of(truth: Events, answers: Events) -> dict[str, Any]:
    """Return sed_eval's F1 of events by each collar, and of segments of 1 s."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sed_eval

        metrics = {
            f"collar {collar}": sed_eval.sound_event.EventBasedMetrics(
                list(LABELS),
                t_collar=collar,
                percentage_of_length=0.2,
                event_matching_type="optimal",
            )
            for collar in COLLARS
        }
        metrics["segments"] = sed_eval.sound_event.SegmentBasedMetrics(list(LABELS), 1.0)
        for events, given in zip(truth, answers, strict=True):
            for metric in metrics.values():
                metric.evaluate(_rows(events), _rows(given))
        return {name: _figures(metric) for name, metric in metrics.items()}


def _rows(events: list[Event]) -> Any:
    import dcase_util

    rows = [
        {"event_onset": e.start, "event_offset": e.end, "event_label": e.label, "file": "x.wav"}
        for e in events
    ]
    return dcase_util.containers.MetaDataContainer(rows)


def _figures(metric: Any) -> dict[str, Any]:
    overall = metric.results_overall_metrics()["f_measure"]
    classes = metric.results_class_wise_metrics()
    values = [overall[name] for name in ("f_measure", "precision", "recall")]
    values += [classes[label]["f_measure"]["f_measure"] for label in LABELS]
    return [None if math.isnan(value) else round(value, 12) for value in values]


def main() -> None:
    """Write the golden figures beside the events that they are of."""
    cases = []
    for seed in CASES:
        truth, answers = draw_events(seed)
        sides = {
            name: [[[e.start, e.end, e.label] for e in events] for events in several]
            for name, several in (("truth", truth), ("answers", answers))
        }
        cases.append({**sides, "figures": figures_of(truth, answers)})
    GOLDEN.write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
