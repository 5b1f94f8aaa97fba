"""The estimate and the verdict of a detector, in the form that every classifier has."""

from __future__ import annotations

import numpy as np

from earmark.classifier.estimate import CARE, USE, WORTHLESS, Estimate, Figures
from earmark.classifier.targets import Targets
from earmark.data.splits import Scheme
from earmark.errors import amount, some
from earmark.training import metrics
from earmark.training.event_figures import EventEvaluation

USELESS_F1, GOOD_F1, GOOD_CLASS_F1 = 0.2, 0.7, 0.5
FEW_EVENTS = 30
WIDE = 0.2  # a wider 95 % interval is a reason for care
GOOD_PRECISION = 0.8


def window_estimate(
    scores: np.ndarray,
    targets: Targets,
    evaluation: EventEvaluation,
    scheme: Scheme,
    n_sounds: int,
) -> Estimate:
    """Return how well the classes of windows with events are told from each other.

    ``scores`` (N, K) are out-of-fold. The figures of events are in ``evaluation``. Its scenes have
    ``n_sounds`` different sounds; if these are few, each is used several times.
    """
    n_classes = scores.shape[1]
    onehot = targets.onehot[:, :n_classes]
    rows = onehot.any(1)
    onehot, scores = onehot[rows], scores[rows]
    chosen = np.zeros(scores.shape, bool)
    chosen[np.arange(len(scores)), scores.argmax(1)] = True
    right = onehot[chosen] > 0
    accuracy = float(right.mean())
    return Estimate(
        scheme=scheme.description,
        accuracy=accuracy,
        interval=metrics.accuracy_interval(right, np.arange(len(right)), 0),
        macro_f1=metrics.macro_f1(onehot, chosen),
        calibration_error=metrics.calibration_error(scores, onehot, targets.is_single),
        chance=metrics.chance(onehot, targets.is_single),
        n_clips=len(right),
        folds=(),
        classes=(),
        verdict=event_verdict(evaluation, _few(n_sounds, evaluation)),
    )


def _few(n_sounds: int, evaluation: EventEvaluation) -> tuple[str, ...]:
    """Return a doubt if the events are copies of few sounds."""
    counts = evaluation.overall.iou30
    if not n_sounds < FEW_EVENTS <= counts.right + counts.missed:
        return ()
    return (f"only {amount(n_sounds, 'different sound')} could be tested",)


def event_verdict(evaluation: EventEvaluation, doubts: tuple[str, ...] = ()) -> Figures:
    """Return the verdict on detected events: its 'word' and 'why'."""
    overall = evaluation.overall
    f1, recall, precision = (
        x or 0.0 for x in (overall.f1_iou30, overall.recall, overall.precision)
    )
    low, high = overall.intervals.get("f1_iou30", (0.0, 1.0))
    what = (
        f"{_percent(recall)} of the events are found, and {_percent(precision)} of the detected"
        " events are right"
    )
    if f1 < USELESS_F1:
        return {"word": WORTHLESS, "why": f"only {what}."}
    reasons = list(doubts)
    n_events = overall.iou30.right + overall.iou30.missed
    if n_events < FEW_EVENTS:
        reasons.append(f"only {amount(n_events, 'event')} could be tested")
    if f1 < GOOD_F1:
        reasons.append(f"F1 is {f1:.2f}")
    if high - low > WIDE:
        reasons.append(f"the interval of F1 is wide, {low:.2f} to {high:.2f}")
    weak = [
        c.label
        for c in evaluation.classes
        if c.label and c.iou30.right + c.iou30.missed and (c.f1_iou30 or 0) < GOOD_CLASS_F1
    ]
    if weak:
        reasons.append(f"F1 is below {GOOD_CLASS_F1} for {some(weak, 'class')}")
    if precision < GOOD_PRECISION:
        reasons.append(f"{100 * (1 - precision):.0f} % of the detected events are false")
    if reasons:
        return {"word": CARE, "why": f"{what}, but {'; '.join(reasons)}."}
    return {"word": USE, "why": f"{what}."}


def _percent(share: float) -> str:
    """Return a share in percent; only 0 and 1 themselves are 0 % and 100 %."""
    if 0 < share < 0.005:
        return "under 1 %"
    if 0.995 <= share < 1:
        return "over 99 %"
    return f"{100 * share:.0f} %"
