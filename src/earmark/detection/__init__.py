"""A classifier over time: the rules and the state machine that turn scores into events."""

from typing import TYPE_CHECKING

from earmark.system.lazy import hand_on

if TYPE_CHECKING:
    from earmark.detection.detecting import EventDetector
    from earmark.detection.events import Decision, EventMachine, apply_rules
    from earmark.detection.listening import Listener, listen
    from earmark.detection.rules import EventRules, parse_thresholds

__all__ = [
    "Decision",
    "EventDetector",
    "EventMachine",
    "EventRules",
    "Listener",
    "apply_rules",
    "listen",
    "parse_thresholds",
]
__getattr__ = hand_on(
    __name__,
    {
        "Decision": "events",
        "EventDetector": "detecting",
        "EventMachine": "events",
        "apply_rules": "events",
        "EventRules": "rules",
        "Listener": "listening",
        "listen": "listening",
        "parse_thresholds": "rules",
    },
)
