"""Score live streams: in a process of its own, a piece of one stream at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from earmark.apps.cli.stream import event_json, record_json
from earmark.classifier.prediction import UNKNOWN
from earmark.data.event import Event
from earmark.detection.detecting import NO_DETECTOR, EventDetector
from earmark.detection.listening import ListeningEnd
from earmark.errors import EarmarkError
from earmark.system.jsons import json_text

if TYPE_CHECKING:
    from earmark.detection.streams import EventStream

DTYPES = {"s16le": "<i2", "f32le": "<f4"}


class Hearing:
    """Answers messages about streams; it loads a classifier at its first stream.

    A message says what to ``do`` and with which ``stream``, a number: ``open`` it, ``feed`` it the
    bytes of PCM, ``finish`` it, or ``drop`` it. The answer has JSON texts, one a line.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(1)
        self._models: dict[str, str] = settings["models"]
        self._allow_remote: bool = settings["allow_remote"]
        self._detectors: dict[str, EventDetector] = {}
        self._streams: dict[int, HeardStream] = {}

    def answer(self, value: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Return the texts of an answer, or the error that ends the stream."""
        number: int = value["stream"]
        ways: dict[str, Callable[[], list[dict[str, Any]]]] = {
            "open": lambda: self._open(number, value),
            "feed": lambda: self._streams[number].feed(body),
            "finish": lambda: self._streams.pop(number).finish(),
            "drop": lambda: self._drop(number),
        }
        try:
            texts = ways[value["do"]]()
        except EarmarkError as error:
            self._drop(number)
            if value["do"] != "open":
                return {"error": str(error)}, b""
            return {"error": self.refusal(value["model"], error)}, b""
        return {}, "\n".join(map(json_text, texts)).encode()

    def refusal(self, model: str, error: EarmarkError) -> str:
        """Return what a client is told if a classifier cannot be loaded."""
        print(f"error: {error}", file=sys.stderr, flush=True)  # it may name files of this host
        return f"The model {model!r} cannot be loaded. The service's log says why."

    def detector(self, name: str) -> EventDetector:
        """Return a classifier as a detector, loaded once."""
        from earmark.classifier.classifier import Classifier

        if name not in self._detectors:
            path = self._models[name]
            classifier = Classifier.load(path, allow_remote=self._allow_remote)
            self._detectors[name] = EventDetector.load(classifier)
        return self._detectors[name]

    def _open(self, number: int, value: dict[str, Any]) -> list[dict[str, Any]]:
        stream = HeardStream(self.detector(value["model"]), **value["sound"])
        self._streams[number] = stream
        return [{"type": "ready", "model": value["model"], **stream.about()}]

    def _drop(self, number: int) -> list[dict[str, Any]]:
        self._streams.pop(number, None)
        return []


class HeardStream:
    """One stream: PCM goes in; the scores of windows, events, and the end come out.

    However the sound is fed, the same objects come out in the same order.
    """

    def __init__(
        self, detector: EventDetector, rate: int, channels: int, format: str, step: float
    ) -> None:
        self._scorer, self._rules = detector.scorer, detector.rules
        self._rate, self._channels, self._format, self._step = rate, channels, format, step
        self._stream: EventStream = detector.stream(rate, step)
        self._windows = self._events = 0
        # a piece completes the windows of one step at most
        self._piece = max(1, int(rate * max(step, self._scorer.hop_s) / 2))

    def about(self) -> dict[str, Any]:
        """Return what a client needs to know before the scores."""
        return {
            "labels": list(self._stream.labels),
            "rate": self._rate,
            "channels": self._channels,
            "format": self._format,
            "window": self._scorer.window_s,
            "hop": self._scorer.hop_s,
            "context": max(n.info.context / n.info.rate_hz for n in self._scorer.networks),
            "step": self._step,
            "unknown_threshold": self._rules.unknown_threshold,
            "warnings": [NO_DETECTOR] if self._scorer.classifier.detector is None else [],
        }

    def feed(self, content: bytes) -> list[dict[str, Any]]:
        """Return what is known now that whole frames of PCM came; EarmarkError for NaN."""
        x = np.frombuffer(content, DTYPES[self._format])
        frames = x if self._channels == 1 else x.reshape(-1, self._channels)
        shown: list[dict[str, Any]] = []
        for start in range(0, len(frames), self._piece):
            shown += self._shown(self._stream.feed(frames[start : start + self._piece]))
        return shown

    def finish(self) -> list[dict[str, Any]]:
        """Return what is left, and the end; silence follows the sound."""
        shown = self._shown(self._stream.finish())
        return [*shown, record_json(ListeningEnd(self._stream.heard_s, 0.0, self._events))]

    def _shown(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        self._events += len(events)
        return [*self._scores(), *({"type": "event", **event_json(event)} for event in events)]

    def _scores(self) -> Iterator[dict[str, Any]]:
        scores, labels = self._stream.scores, self._stream.labels
        least, thresholds = self._rules.unknown_threshold, self._rules.thresholds
        for row, known in zip(scores.scores.tolist(), scores.known.tolist(), strict=True):
            start, k = self._windows * self._scorer.hop_s, int(np.argmax(row))
            self._windows += 1
            is_unknown = least is not None and known < least
            label = labels[k] if row[k] >= thresholds[k] else None
            yield {
                "type": "scores",
                "start": round(start, 6),
                "end": round(start + self._scorer.window_s, 6),
                "label": UNKNOWN if is_unknown else label,
                "is_unknown": is_unknown,
                "scores": [round(score, 6) for score in row],
                "known": round(known, 6),
            }
