"""Compute the answers for decoded recordings, in a process of its own.

A CPU computes each recording by itself: so its answer is that of ``predict``, to the last digit. A
GPU computes those that wait together; scores then differ by at most 1e-5.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.apps.cli.detect import detection_json
from earmark.apps.cli.text import JSON_SCHEMA, prediction_json
from earmark.apps.service import frames
from earmark.apps.service.decoding import NAME
from earmark.apps.service.settings import DETECT, PREDICT
from earmark.audio.decoded import DecodedSource
from earmark.audio.source import BytesSource, Source
from earmark.errors import AudioError, EarmarkError
from earmark.system.jsons import json_text

if TYPE_CHECKING:
    from earmark.classifier.classifier import Classifier
    from earmark.classifier.prediction import Prediction
    from earmark.classifier.session import Session
    from earmark.data.clip import Clip
    from earmark.detection.detecting import EventDetector


GPU_CLIPS = 32  # recordings that a GPU classifies together; a CPU is no quicker at several


class Computer:
    """Classifiers and detectors with their networks loaded."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import torch

        from earmark.classifier.classifier import Classifier
        from earmark.detection.detecting import EventDetector

        torch.set_num_threads(1)
        self._at_once = GPU_CLIPS if torch.cuda.is_available() else 1
        self._sessions: dict[str, Session] = {}
        self._detectors: dict[str, EventDetector] = {}
        self._classifiers: dict[str, Classifier] = {}
        for name, path in settings["models"].items():
            classifier = self._classifiers[name] = Classifier.load(
                path, allow_remote=settings["allow_remote"]
            )
            if classifier.detector is None:
                self._sessions[name] = classifier.session()
            else:
                self._detectors[name] = EventDetector.load(classifier)

    def hello(self) -> dict[str, Any]:
        """Return what ``/v1/models`` says of each classifier."""
        return {
            "at_once": self._at_once,
            "models": [
                {
                    "name": name,
                    "path": PREDICT if name in self._sessions else DETECT,
                    "labels": list(classifier.labels),
                    "backbones": [use.name for use in classifier.backbones],
                    "digest": classifier.digest,
                    "warning": classifier.estimate.warning,
                }
                for name, classifier in self._classifiers.items()
            ],
        }

    def answer(self, messages: Sequence[frames.Message]) -> list[frames.Message]:
        """Return the JSON of each answer; a message has options and a recording.

        The recording is what the decoder said, or a plain WAV file. Several recordings are
        classified together if that is what the processor is quick at.
        """
        from earmark.data.clip import Clip

        clips = [Clip(Path(NAME), recording=_source(*message)) for message in messages]
        together = self._answer_together(messages, clips) if len(messages) > 1 else {}
        return [
            together.get(number) or self._answer_one(value, clips[number])
            for number, (value, _) in enumerate(messages)
        ]

    def _answer_together(
        self, messages: Sequence[frames.Message], clips: Sequence[Clip]
    ) -> dict[int, frames.Message]:
        """Return the answers by number, without those of detectors and of unreadable clips."""
        groups: dict[tuple[str, float | None], list[int]] = collections.defaultdict(list)
        for number, (value, _) in enumerate(messages):
            if value["model"] in self._sessions:
                groups[value["model"], value["coverage"]].append(number)
        answers = {}
        for (name, coverage), numbers in groups.items():
            recordings = [clips[number] for number in numbers]
            with contextlib.suppress(EarmarkError):  # each will say it alone
                predictions = self._sessions[name].predict_iter(recordings, coverage=coverage)
                for number, prediction in zip(numbers, predictions, strict=True):
                    if prediction.error is None:
                        answers[number] = _answered(messages[number][0], prediction)
        return answers

    def _answer_one(self, value: dict[str, Any], clip: Clip) -> frames.Message:
        name = value["model"]
        try:
            if name not in self._sessions:
                shown = detection_json(self._detectors[name].detect(clip))
                del shown["begins_at"]  # the name of a file would say when it begins
                return _as_json(name, shown)
            prediction = self._sessions[name].predict(clip, coverage=value["coverage"])
        except AudioError as error:
            return {"error": str(error), "kind": error.kind}, b""
        except EarmarkError as error:
            return {"error": str(error), "kind": "request"}, b""
        assert not isinstance(prediction, list)
        return _answered(value, prediction)


def _source(value: dict[str, Any], body: bytes) -> Source:
    if not value["is_decoded"]:
        return BytesSource(body, NAME)
    text, samples = frames.unpack_text(body)
    return DecodedSource.unpack(text, samples)


def _answered(value: dict[str, Any], prediction: Prediction) -> frames.Message:
    return _as_json(value["model"], prediction_json(prediction, value["top"]))


def _as_json(name: str, shown: dict[str, Any]) -> frames.Message:
    del shown["path"]
    return {}, json_text({"schema": JSON_SCHEMA, "model": name, **shown}).encode()
