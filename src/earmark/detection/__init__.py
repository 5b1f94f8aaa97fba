"""A classifier over time: the rules and the state machine that turn scores into events."""

from typing import TYPE_CHECKING

from earmark.system.lazy import hand_on

if TYPE_CHECKING:
    from earmark.detection.events import Decision, EventMachine, apply_rules
    from earmark.detection.rules import EventRules, parse_thresholds

__all__ = ["Decision", "EventMachine", "EventRules", "apply_rules", "parse_thresholds"]
__getattr__ = hand_on(
    __name__,
    {
        "Decision": "events",
        "EventMachine": "events",
        "apply_rules": "events",
        "EventRules": "rules",
        "parse_thresholds": "rules",
    },
)
