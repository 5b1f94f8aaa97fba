"""What clients saw: latencies by status, lost and wrong answers, what could not be sent."""

from __future__ import annotations

import time
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Tally:
    """The answers to the requests of one load.

    Attributes
    ----------
    latency : dict
        Seconds from the time at which a request was due to its whole answer, by status.
    by_second : Counter
        Answers with status 200 by second of the load.
    lost_new, lost_kept : int
        Requests that were sent completely and got no answer because the connection ended: on a
        connection without an earlier answer, and with one. HTTP/1.1 lets a server close a kept
        connection between two requests, so a client cannot tell the second case from bad luck.
    broken : int
        Requests whose connection ended before they were sent completely.
    unconnected : int
        Connections that were refused.
    late : int
        Requests without an answer after the patience of the clients.
    after : int
        Answers that came after the end of the load.
    unsent : int
        Arrivals for which no client was free.
    wrong : int
        Answers that differ from the expected one; ``checked`` were compared.
    """

    began: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    latency: dict[int, array[float]] = field(default_factory=lambda: defaultdict(_floats))
    by_second: Counter[int] = field(default_factory=Counter)
    delays: array[float] = field(default_factory=lambda: array("f"))
    sent: int = 0
    lost_new: int = 0
    lost_kept: int = 0
    broken: int = 0
    unconnected: int = 0
    late: int = 0
    after: int = 0
    unsent: int = 0
    wrong: int = 0
    checked: int = 0
    load_cpu_s: float = 0.0

    @property
    def lost(self) -> int:
        return self.lost_new + self.lost_kept

    @property
    def answers(self) -> int:
        return len(self.latency[200])

    @property
    def goodput(self) -> float:
        """Answers with status 200 in a second."""
        return self.answers / self.seconds if self.seconds else 0.0

    @property
    def refused(self) -> dict[int, int]:
        """Numbers of answers with other statuses."""
        return {s: len(x) for s, x in sorted(self.latency.items()) if s != 200 and len(x)}

    def ms(self, percentile: float, status: int = 200) -> float:
        """Return a percentile of the latencies in milliseconds; NaN if there are none."""
        values = self.latency[status]
        return round(float(np.percentile(values, percentile)) * 1e3, 1) if values else float("nan")

    def delay_ms(self, percentile: float) -> float:
        """Return how late arrivals were handled by the load itself, in milliseconds."""
        if not self.delays:
            return 0.0
        return round(float(np.percentile(self.delays, percentile)) * 1e3, 1)

    def record(self, status: int, due: float, now: float) -> None:
        self.latency[status].append(now - due)
        if status == 200:
            self.by_second[int(now - self.began)] += 1

    def cut(self, in_time: dict[int, int]) -> None:
        """Keep so many latencies of each status, and count the others as ``after`` the load."""
        for status, values in self.latency.items():
            count = in_time.get(status, 0)
            self.after += len(values) - count
            del values[count:]

    @property
    def unaccounted(self) -> int:
        """Requests of which nothing is known; anything but 0 is a fault of the load."""
        known = sum(len(values) for values in self.latency.values()) + self.after + self.lost
        return self.sent - known - self.broken - self.unconnected - self.late

    def row(self) -> dict[str, object]:
        """Return what a results file says of it."""
        refused = " ".join(f"{status}:{count}" for status, count in self.refused.items())
        requests = self.sent or 1
        return {
            "goodput": round(self.goodput, 1),
            "p50_ms": self.ms(50),
            "p99_ms": self.ms(99),
            "sent": self.sent,
            "refused": refused,
            "lost_new": self.lost_new,
            "lost_kept": self.lost_kept,
            "broken": self.broken,
            "unconnected": self.unconnected,
            "late": self.late,
            "unsent": self.unsent,
            "wrong": f"{self.wrong} of {self.checked}",
            "load_us": round(self.load_cpu_s / requests * 1e6),
            "load_busy_percent": round(100 * self.load_cpu_s / (self.seconds or 1)),
            "load_delay_p99_ms": self.delay_ms(99),
        }


def _floats() -> array[float]:
    return array("f")
