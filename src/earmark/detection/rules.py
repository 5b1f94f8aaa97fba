"""The rules by which scores of windows become events: thresholds, and durations in seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from earmark.errors import EarmarkError, amount, did_you_mean, listed

NEVER = math.inf  # the threshold of a class that is never answered
AUTO = "auto"
DIGITS = 4  # of the score of an event
ROUNDING = 1e-6  # seconds: durations that differ by less are equal
_CLIP = 1e-6  # a calibrated score is not computed from logits of 0 and 1, which are infinite


@dataclass(frozen=True)
class EventRules:
    """How scores of windows become events; every duration is in seconds.

    Attributes
    ----------
    thresholds : tuple of float, (K,)
        A score at or above its class's threshold begins an event. Above 1: never answered.
    leave : float
        An event goes on while the score is at least ``leave * threshold``.
    before_s, after_s : float
        An event reaches from ``before_s`` before the centre of its first window to ``after_s``
        after the centre of its last one. They may be negative: windows that cover a sound partly
        have scores, too. Events without a duration are then dropped.
    min_gap_s : float
        Events of one class closer than this are joined.
    min_duration_s : float
        Shorter events are dropped, after joining and before padding. Parts of an event beyond the
        ends of the recording count, so the answer does not depend on where a sound stands.
    max_duration_s : float
        Longer events are cut, between two windows, into events of at most this length.
    pad_s : float
        Both ends of an event are moved outwards by this, at most to the middle of the gap to the
        neighbour, and not beyond the recording.
    compete : bool
        Only one class at a time: of those that reach their thresholds, the one with the highest
        score / threshold. An event goes on after a stretch of another class that is too short to
        be an event, as after a gap. If False, each class has its own events.
    unknown_threshold : float, optional
        Events whose known-score is lower are not answered.
    show_unknown : bool
        Such events are answered, with the label 'unknown'.
    calibration : (slope, intercept), optional
        The score of an event is ``sigmoid(slope * logit(highest score) + intercept)``.
    """

    thresholds: tuple[float, ...]
    leave: float = 0.6
    before_s: float = 0.0
    after_s: float = 0.0
    min_gap_s: float = 0.0
    min_duration_s: float = 0.0
    max_duration_s: float = math.inf
    pad_s: float = 0.0
    compete: bool = True
    unknown_threshold: float | None = None
    show_unknown: bool = False
    calibration: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.thresholds, tuple) or not self.thresholds:
            raise _wrong("thresholds", self.thresholds, "Give a number above 0 for each class.")
        for value in self.thresholds:
            if not _is_number(value) or not value > 0:
                raise _wrong("a threshold", value, "Give a number above 0.")
        if not _is_number(self.leave) or not 0 < self.leave <= 1:
            raise _wrong("leave", self.leave, "Give a number above 0, at most 1.")
        self._check_seconds()
        for name in ("compete", "show_unknown"):
            if not isinstance(getattr(self, name), bool):
                raise _wrong(name, getattr(self, name), "Give true or false.")
        if self.unknown_threshold is not None and not _is_finite(self.unknown_threshold):
            raise _wrong("unknown_threshold", self.unknown_threshold, "Give a number, or none.")
        if self.calibration is not None:
            self._check_calibration(self.calibration)

    def _check_seconds(self) -> None:
        for name in ("before_s", "after_s"):
            if not _is_finite(getattr(self, name)):
                raise _wrong(name, getattr(self, name), "Give a number of seconds.")
        for name in ("min_gap_s", "min_duration_s", "pad_s"):
            if not _is_finite(getattr(self, name)) or getattr(self, name) < 0:
                raise _wrong(name, getattr(self, name), "Give seconds, 0 or more.")
        least = max(self.around_s, self.min_duration_s)
        if not _is_number(self.max_duration_s) or not self.max_duration_s > least - ROUNDING:
            raise _wrong(
                "max_duration_s",
                self.max_duration_s,
                f"Give at least {least:g} s: before_s + after_s and min_duration_s fit into it.",
            )

    @staticmethod
    def _check_calibration(pair: object) -> None:
        is_pair = isinstance(pair, tuple) and len(pair) == 2 and all(map(_is_finite, pair))
        if not is_pair or pair[0] < 0:  # type: ignore[index]
            raise _wrong("calibration", pair, "Give a slope, 0 or more, and an intercept.")

    @property
    def around_s(self) -> float:
        """The duration of an event of one window; 0 or less if it is dropped."""
        return self.before_s + self.after_s

    def changed(self, hop_s: float, **changes: Any) -> EventRules:
        """Return the rules with some replaced.

        Long events are cut between two windows, which are ``hop_s`` apart. A new maximum lowers
        the minimum duration to that of the longest part, so that the parts are answered. Raises
        EarmarkError for an unknown name, and if a new minimum does not allow any part.
        """
        names = [field.name for field in fields(self)]
        for name in changes:
            if name not in names:
                raise EarmarkError(
                    f"Event rules have no {name!r}.{did_you_mean(name, names)} Choose from"
                    f" {', '.join(names)}."
                )
        if "max_duration_s" not in changes:
            return replace(self, **changes)
        rules = replace(self, **{"min_duration_s": 0.0, **changes})
        most_s, around_s = rules.max_duration_s, rules.around_s
        part_s = most_s
        if most_s < math.inf:
            part_s = around_s + math.floor((most_s - around_s + ROUNDING) / hop_s) * hop_s
        if part_s <= ROUNDING or part_s < rules.min_duration_s - ROUNDING:
            raise EarmarkError(
                f"No event fits between a minimum duration of {rules.min_duration_s:g} s and a"
                f" maximum of {most_s:g} s, because events are cut between windows, {hop_s:g} s"
                " apart. Give a longer maximum, or a shorter minimum."
            )
        least_s = changes.get("min_duration_s", min(self.min_duration_s, part_s))
        return replace(rules, min_duration_s=least_s)

    def calibrated(self, score: float) -> float:
        """Return the score of an event whose highest window score is ``score``.

        It has ``DIGITS`` decimal digits, because the last bits of a window's score depend on how
        much sound was computed at once.
        """
        value = min(max(score, 0.0), 1.0)
        if self.calibration is not None:
            slope, intercept = self.calibration
            share = min(max(score, _CLIP), 1 - _CLIP)
            logit = slope * math.log(share / (1 - share)) + intercept
            value = 0.5 + 0.5 * math.tanh(0.5 * logit)
        return round(value, DIGITS)

    def to_json(self) -> dict[str, Any]:
        """Return the rules as JSON; null stands for infinity."""
        saved = asdict(self)
        saved["thresholds"] = [value if value < NEVER else None for value in self.thresholds]
        saved["max_duration_s"] = self.max_duration_s if self.max_duration_s < math.inf else None
        saved["calibration"] = None if self.calibration is None else list(self.calibration)
        return saved

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> EventRules:
        """Return the rules that :meth:`to_json` wrote.

        Raises EarmarkError for a missing or unknown field, and for a value that is not allowed.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(saved, Mapping):
            raise _wrong("the value", saved, f"Give an object with {listed(names)}.")
        for name in saved:
            if name not in names:
                raise EarmarkError(
                    f"The event rules have an unknown field {name!r}."
                    f"{did_you_mean(str(name), names)} Known: {', '.join(names)}."
                )
        for name in names:
            if name not in saved:
                raise EarmarkError(
                    f"The event rules have no {name}. Give all of {', '.join(names)}."
                )
        values = dict(saved)
        if isinstance(saved["thresholds"], (list, tuple)):
            values["thresholds"] = tuple(NEVER if t is None else t for t in saved["thresholds"])
        if saved["max_duration_s"] is None:
            values["max_duration_s"] = math.inf
        if isinstance(saved["calibration"], list):
            values["calibration"] = tuple(saved["calibration"])
        return cls(**values)


def parse_thresholds(
    text: str, labels: Sequence[str], default: Sequence[float]
) -> tuple[float, ...]:
    """Return the threshold of each class for a text such as ``auto``, ``0.5`` or ``auto,bell=0.7``.

    ``auto`` stands for the ``default`` of each class. Those of single classes are applied last. A
    class name may hold ``=`` or ``,``. Raises EarmarkError for a class that is unknown, for a
    threshold that is not above 0, and for two thresholds for one class or for all.
    """
    if len(default) != len(labels):
        raise ValueError(f"{len(default)} default thresholds for {amount(len(labels), 'class')}")
    general, single = list(map(float, default)), dict[str, float]()
    for_all: str | None = None
    for term in _terms(text, labels):
        label, sign, number = term.rpartition("=")
        if sign:
            place = _class_of(label.strip(), labels)
            if labels[place] in single:
                raise EarmarkError(f"{text!r} has {labels[place]!r} twice. Give it once.")
            is_auto = number.strip() == AUTO
            single[labels[place]] = float(default[place]) if is_auto else _threshold(number, term)
            continue
        if term != AUTO:
            general = [_threshold(term, term)] * len(labels)
        if for_all is not None:
            raise EarmarkError(
                f"{text!r} has two thresholds for all classes, {for_all} and {term}. Leave one out,"
                " or name a class: CLASS=0.7."
            )
        for_all = term
    return tuple(single.get(label, value) for label, value in zip(labels, general, strict=True))


def _terms(text: str, labels: Sequence[str]) -> list[str]:
    """Split at commas; a comma in the name of a class does not split."""
    terms, rest = [], text.strip()
    while rest:
        name = max((x for x in labels if rest.startswith(f"{x}=")), key=len, default="")
        term, comma, rest = rest[len(name) :].partition(",")
        terms.append(name + term.strip())
        rest = rest.strip()
        if comma and not rest:
            terms.append("")
    return terms or [""]


def _class_of(label: str, labels: Sequence[str]) -> int:
    if label not in labels:
        raise EarmarkError(
            f"The classifier has no class {label!r}.{did_you_mean(label, labels)}"
            f" Its classes are {listed(labels)}."
        )
    return list(labels).index(label)


def _threshold(text: str, term: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise EarmarkError(
            f"The threshold {term!r} is not a number above 0. Give {AUTO}, a number such as 0.5, or"
            " CLASS=0.7; separate several by commas."
        )
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return _is_number(value) and math.isfinite(value)  # type: ignore[arg-type]


def _wrong(name: str, value: object, advice: str) -> EarmarkError:
    return EarmarkError(f"In the event rules, {name} is {value!r}. {advice}")
