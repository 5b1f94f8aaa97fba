"""Options of the commands that find events: how scores become events."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from typer import Option

from earmark.errors import EarmarkError


@dataclass(frozen=True, kw_only=True)
class EventOptions:
    """The rules of events to change; the others stay as training chose them."""

    threshold: str = Option(
        "auto",
        help="The score that begins an event: auto, a number, or CLASS=NUMBER; commas between"
        " several.",
    )
    min_gap: float | None = Option(
        None, help="Join events of a class that are closer than this, in seconds."
    )
    min_duration: float | None = Option(None, help="Drop shorter events, in seconds.")
    max_duration: float | None = Option(None, help="Cut longer events, in seconds.")
    pad: float | None = Option(
        None, help="Move the start and the end of events outwards by this, in seconds."
    )

    def check(self) -> None:
        """Refuse durations that are not seconds; the thresholds need the classes of a model."""
        for option in ("min_gap", "min_duration", "max_duration", "pad"):
            seconds = getattr(self, option)
            is_limit = option == "max_duration"
            if seconds is None:
                continue
            if not math.isfinite(seconds) or seconds < 0 or (is_limit and seconds == 0):
                least = "more than 0 s" if is_limit else "0 s or more"
                raise EarmarkError(
                    f"--{option.replace('_', '-')} is {seconds:g}. Give {least}, such as 0.5."
                )

    def settings(self) -> dict[str, Any]:
        """Return the arguments of :meth:`EventDetector.load`."""
        given = {
            "min_gap_s": self.min_gap,
            "min_duration_s": self.min_duration,
            "max_duration_s": self.max_duration,
            "pad_s": self.pad,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        return {"thresholds": self.threshold, **changes}
