"""Find events in a stream of samples while it comes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from earmark.audio.decoder import Samples
from earmark.audio.source import SampleSource
from earmark.data.event import Event
from earmark.detection.events import Decision, EventMachine
from earmark.detection.rules import EventRules
from earmark.detection.scores import ScoreStream, WindowScorer, WindowScores
from earmark.errors import EarmarkError

FINISHED = "the stream is finished. Begin another with classifier.stream()."
STEP_S = 0.24  # of sound that is computed at once; less costs more, because context is repeated


class EventStream:
    """Finds events in a stream: :meth:`feed` it samples, and :meth:`finish` it.

    The events are those of the same sound in a file, however it is fed. An event is returned as
    soon as it is final.

    Parameters
    ----------
    scorer : WindowScorer
        The classifier with its networks loaded.
    rules : EventRules
    rate_hz : int
        The sample rate of the stream.
    step_s : float
        Seconds of sound that are computed at once.

    Attributes
    ----------
    labels : tuple of str
        The classes.
    heard_s : float
        Seconds of sound that were fed, sound that was lost included.
    decisions : list of Decision
        The latest events, with when they were decided.
    scores : WindowScores
        The scores of the latest windows.
    scored_s : float
        The end of the last window that was scored, in seconds.
    """

    def __init__(
        self, scorer: WindowScorer, rules: EventRules, rate_hz: int, step_s: float = STEP_S
    ) -> None:
        self._scorer, self._step_s = scorer, step_s
        self.labels = scorer.classifier.labels
        self._machine = EventMachine(self.labels, rules, scorer.hop_s, scorer.window_s / 2)
        self.heard_s, self._offset_s = 0.0, 0.0
        self.decisions: list[Decision] = []
        self.scores = WindowScores.none(len(self.labels))
        self._is_finished = False
        self._begin(rate_hz)

    def _begin(self, rate_hz: int) -> None:
        self.rate_hz, self._n, self._count = rate_hz, 0, 0
        self._stream = ScoreStream(self._scorer, rate_hz, self._step_s)

    @property
    def scored_s(self) -> float:
        """The end of the last window that was scored."""
        last_s = (self._count - 1) * self._scorer.hop_s + self._scorer.window_s
        return self._offset_s + (last_s if self._count else 0.0)

    def feed(self, samples: ArrayLike) -> list[Event]:
        """Return the events that are final now that ``samples`` came.

        Parameters
        ----------
        samples : array, (n,) or (n, channels)
            The next samples: float32 or float64 with full scale 1, int16 or int32. Channels are
            mixed as in training. n may be 0.

        Raises
        ------
        EarmarkError
            The array is not audio, has NaN or infinity, or the stream is finished.
        """
        if self._is_finished:
            raise EarmarkError(FINISHED)
        x = self._mono(samples)
        self._n += len(x)
        self.heard_s = self._offset_s + self._n / self.rate_hz
        return self._take(self._decide(self._stream.feed(x)))

    def gap(self, lost_s: float, rate_hz: int | None = None) -> list[Event]:
        """Return the events that are left before ``lost_s`` seconds of lost sound.

        No event spans the gap. The stream goes on after it, perhaps at another rate. Raises
        EarmarkError for a duration that is not one, and if the stream is finished.
        """
        if not (math.isfinite(lost_s) and lost_s >= 0):
            raise EarmarkError(f"lost_s is {lost_s!r}. Give seconds, 0 or more.")
        if self._is_finished:
            raise EarmarkError(FINISHED)
        decisions = self._decide(self._stream.finish()) if self._n else []
        before_s, self.heard_s = self.heard_s, self.heard_s + lost_s
        self._offset_s = self.heard_s
        first_s = self._offset_s + self._scorer.window_s / 2
        decisions += self._machine.gap(before_s, self._offset_s, first_s)
        self._begin(rate_hz or self.rate_hz)
        return self._take(decisions)

    def finish(self) -> list[Event]:
        """Return the events that are left; silence follows the stream."""
        if self._is_finished:
            return []
        self._is_finished = True
        decisions = self._decide(self._stream.finish()) if self._n else []
        if self.heard_s:
            decisions += self._machine.finish(self.heard_s)
        return self._take(decisions)

    def _decide(self, scores: WindowScores) -> list[Decision]:
        self.scores = scores
        self._count += len(scores)
        return self._machine.feed(scores.scores, scores.known)

    def _take(self, decisions: Sequence[Decision]) -> list[Event]:
        self.decisions = list(decisions)
        return [decision.event for decision in decisions]

    def _mono(self, samples: ArrayLike) -> Samples:
        x = np.asarray(samples)
        if x.size == 0:
            return np.zeros(0, np.float32)
        channel = self._scorer.classifier.audio.channel
        is_mono = x.ndim == 1 and x.dtype == np.float32  # live sound: it comes in small blocks
        columns = x[:, None] if is_mono else SampleSource.of(x, self.rate_hz).samples
        if channel is not None and columns.shape[1] > 1:
            if channel > columns.shape[1]:
                raise EarmarkError(
                    f"the samples have {columns.shape[1]} channels, but the classifier reads"
                    f" channel {channel}. Give samples with that channel."
                )
            columns = columns[:, channel - 1 : channel]
        mono = columns[:, 0] if columns.shape[1] == 1 else columns.mean(1, dtype=np.float32)
        if not np.isfinite(mono).all():
            raise EarmarkError("the samples have NaN or infinity. Replace them by zeros.")
        return np.ascontiguousarray(mono)
