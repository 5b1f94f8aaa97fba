"""Count what the service does, and show it in the text format of Prometheus."""

from __future__ import annotations

import bisect
import collections
from collections.abc import Iterable, Mapping

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts answers and the time that they took."""

    def __init__(self) -> None:
        self._answers: collections.Counter[tuple[str, int]] = collections.Counter()
        self._buckets = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0
        self.audio_s = 0.0

    def answered(self, path: str, status: int) -> None:
        """Count an answer."""
        self._answers[path, status] += 1

    def computed(self, seconds: float, spent_s: float) -> None:
        """Count an answer: the seconds of audio, and those from the request to the answer."""
        self.audio_s += seconds
        self._sum_s += spent_s
        self._buckets[bisect.bisect_left(BOUNDS_S, spent_s)] += 1

    def text(self, gauges: Mapping[str, tuple[str, str, float]]) -> str:
        """Return all figures; ``gauges`` has the kind, the help and the value of others."""
        answers = [
            (f'{{path="{path}",status="{status}"}}', count)
            for (path, status), count in sorted(self._answers.items())
        ]
        lines = [
            *_metric("earmark_responses_total", "counter", "Responses by status.", answers),
            *_metric("earmark_audio_seconds_total", "counter", "Audio that was answered, in"
                     " seconds.", [("", self.audio_s)]),
            *_metric("earmark_answer_seconds", "histogram", "Time from the head of a request"
                     " to its answer, in seconds, without the wait for a place.", []),
        ]  # fmt: skip
        total = 0
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(f'earmark_answer_seconds_bucket{{le="{bound}"}} {total}')
        lines.append(f"earmark_answer_seconds_sum {self._sum_s:.6f}")
        lines.append(f"earmark_answer_seconds_count {total}")
        for name, (kind, text, value) in gauges.items():
            lines += _metric(f"earmark_{name}", kind, text, [("", value)])
        return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, text: str, values: Iterable[tuple[str, float]]) -> list[str]:
    head = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    return head + [f"{name}{labels} {value:.10g}" for labels, value in values]
