"""Rules that JSON values must obey: numbers in a range, texts, lists, objects.

A rule is called with a value and the name of its field, and raises ValueError if the value breaks
it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Rule = Callable[[Any, str], None]
ROUNDING = 1e-5  # a share may exceed its range by this much
LARGEST = float(np.finfo(np.float32).max)  # the largest number allowed


class FieldError(ValueError):
    """A field has a value that the schema does not allow."""

    def __init__(self, name: str, value: Any, must: str) -> None:
        shown = repr(value)
        super().__init__(
            f"{name} is {shown if len(shown) <= 60 else shown[:57] + '...'}; it must be {must}"
        )


def number(low: float = -LARGEST, high: float = LARGEST, above: bool = False) -> Rule:
    """Accept finite numbers from ``low``, or only ``above`` it, to ``high``."""
    must = f"a number {'above' if above else 'from'} {low:g} to {high:g}"

    def rule(value: Any, name: str) -> None:
        if type(value) not in (int, float) or not low <= value <= high or (above and value == low):
            raise FieldError(name, value, must)

    return rule


def share(low: float = 0) -> Rule:
    """Accept numbers from ``low`` to 1, with some tolerance for rounding."""

    def rule(value: Any, name: str) -> None:
        if type(value) not in (int, float) or not low - ROUNDING <= value <= 1 + ROUNDING:
            raise FieldError(name, value, f"a number from {low:g} to 1")

    return rule


def integer(low: int, high: int = 2**53) -> Rule:
    """Accept whole numbers ``low..high``."""

    def rule(value: Any, name: str) -> None:
        if type(value) is not int or not low <= value <= high:
            raise FieldError(name, value, f"a whole number from {low} to {high}")

    return rule


def text(pattern: str = r"(?s:.*)", must: str = "a text") -> Rule:
    """Accept texts that match ``pattern`` as a whole."""

    def rule(value: Any, name: str) -> None:
        if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
            raise FieldError(name, value, must)

    return rule


def boolean(value: Any, name: str) -> None:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise FieldError(name, value, "true or false")


def anything(value: Any, name: str) -> None:
    """Accept any JSON value."""


def one_of(words: Sequence[str]) -> Rule:
    """Accept one of ``words``."""
    return text("|".join(map(re.escape, words)), f"one of {', '.join(words)}")


def nullable(rule: Rule) -> Rule:
    """Accept null and everything that ``rule`` accepts."""
    return lambda value, name: None if value is None else rule(value, name)


def array(rule: Rule, least: int = 0, most: int | None = None, unique: bool = False) -> Rule:
    """Accept lists of ``least..most`` items that ``rule`` accepts."""

    def check_all(value: Any, name: str) -> None:
        if not isinstance(value, list):
            raise FieldError(name, value, "a list")
        if len(value) < least or (most is not None and len(value) > most):
            count = least if most == least else f"at least {least}"
            raise FieldError(name, value, f"a list of {count} {'item' if least == 1 else 'items'}")
        for k, item in enumerate(value):
            rule(item, f"{name}[{k}]")
        if unique and len(set(value)) < len(value):
            repeated = next(item for item in value if value.count(item) > 1)
            raise FieldError(name, value, f"a list without repeats, but has {repeated!r} twice")

    return check_all


def interval(low: float = 0, of: Rule | None = None) -> Rule:
    """Accept two shares, or two values that ``of`` accepts, the smaller one first."""
    pair = array(of or share(low), 2, 2)

    def rule(value: Any, name: str) -> None:
        pair(value, name)
        if value[0] > value[1]:
            raise FieldError(name, value, "two numbers, the smaller one first")

    return rule


def record(
    required: Mapping[str, Rule], optional: Mapping[str, Rule] | None = None, is_open: bool = False
) -> Rule:
    """Accept objects with all ``required`` and any ``optional`` keys; others if ``is_open``."""
    rules = {**required, **(optional or {})}

    def check_all(value: Any, name: str) -> None:
        if not isinstance(value, dict):
            raise FieldError(name, value, "an object")
        prefix = f"{name}." if name else ""
        for key in required:
            if key not in value:
                raise ValueError(f"{prefix}{key} is missing")
        for key, item in value.items():
            if key in rules:
                rules[key](item, f"{prefix}{key}")
            elif not is_open:
                raise ValueError(
                    f"{prefix}{key[:60]} is an unknown field; known fields: {', '.join(rules)}"
                )

    return check_all


SHARE = share()
COUNT = integer(0)
NAME = text(r"(?s:.+)", "a text that is not empty")
