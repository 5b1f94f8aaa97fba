"""The part of a classifier's file that makes it a detector: its windows and rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DETECTS = (
    "this classifier detects events in long recordings, and does not classify clips. Find events"
    " with `earmark detect` (classifier.detect), or compare them with annotated ones with `earmark"
    " evaluate --events` (evaluate_detector)."
)


@dataclass(frozen=True)
class Detector:
    """How a classifier that was trained on windows finds events in long recordings.

    Attributes
    ----------
    window_s, hop_s : float
        Length of a window, and the distance between the starts of two windows, in seconds.
    has_background : bool
        Whether the head has one more output, the last, for background, which is never answered.
    rules : dict
        The rules that turn scores of windows into events, as JSON: see
        :class:`earmark.detection.EventRules`.
    estimate : dict
        Figures of events in held-out scenes, as JSON.
    """

    window_s: float
    hop_s: float
    has_background: bool
    rules: Mapping[str, Any]
    estimate: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the detector as it stands in the file."""
        return {
            "window_s": self.window_s,
            "hop_s": self.hop_s,
            "has_background": self.has_background,
            "rules": dict(self.rules),
            "estimate": dict(self.estimate),
        }
