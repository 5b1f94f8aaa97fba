"""The size of parts, and shares of them: what one of N jobs computes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from earmark.errors import EarmarkError

PART_CLIPS = 1_024  # clips in a part: seconds of computing, about ten megabytes


@dataclass(frozen=True)
class Share:
    """The parts that job ``number`` of ``count`` computes: each whose number is I - 1 modulo N."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Share:
        """Return the share that is written I/N, with I from 1 to N; EarmarkError otherwise."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        share = cls(int(match[1]), int(match[2])) if match else cls(0)
        if not 1 <= share.number <= share.count:
            raise EarmarkError(
                f"--share is {text!r}. Give I/N, with I from 1 to N: 1/4, 2/4, 3/4 and 4/4 are all"
                " parts."
            )
        return share

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and number % self.count == self.number - 1


ALL = Share()
