"""Read times from the cells of a table, with a decimal point or a decimal comma."""

from __future__ import annotations

import contextlib
import math
import re

from earmark.errors import DataError

_PLAIN = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")  # the form of nearly all times
_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")
_EITHER = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")  # 1,234 may be 1.234, or 1234


class Seconds:
    """Reads times; other cells of the table, or ``is_decimal``, say whether commas are decimal."""

    def __init__(self, table: str, is_decimal: bool = False) -> None:
        self.table, self.is_decimal = table, is_decimal
        self._doubtful: tuple[int, str] | None = None

    def read(self, row: int, name: str, text: str) -> float | None:
        """Return a time in seconds, None for an empty cell; ValueError if it is not a number."""
        plain = text.strip()
        if not plain:
            return None
        if _PLAIN.fullmatch(plain):
            return float(plain)
        if _EITHER.fullmatch(plain):
            self._doubtful = self._doubtful or (row, plain)
            plain = plain.replace(",", ".")
        elif _COMMA.fullmatch(plain):
            self.is_decimal = True
            plain = plain.replace(",", ".")
        with contextlib.suppress(ValueError):
            if math.isfinite(seconds := float(plain)) and "_" not in plain:
                return seconds
        raise ValueError(f"{name} {text!r} is not a number of seconds, such as 1.5")

    def check(self) -> None:
        """Refuse a comma if no cell shows whether it is decimal."""
        if self._doubtful is not None and not self.is_decimal:
            row, text = self._doubtful
            raise DataError(
                f"{self.table}, row {row}: {text!r} may be {text.replace(',', '.')} or"
                f" {text.replace(',', '')} seconds. Write times with a decimal point."
            )
