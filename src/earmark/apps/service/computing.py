"""Compute the answers for decoded recordings: in a process of its own, one recording at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.apps.cli.detect import detection_json
from earmark.apps.cli.text import JSON_SCHEMA, prediction_json
from earmark.apps.service import frames
from earmark.apps.service.decoding import NAME
from earmark.apps.service.settings import DETECT, PREDICT
from earmark.audio.decoded import DecodedSource
from earmark.errors import AudioError, EarmarkError
from earmark.system.jsons import json_text

if TYPE_CHECKING:
    from earmark.classifier.classifier import Classifier
    from earmark.classifier.session import Session
    from earmark.data.clip import Clip
    from earmark.detection.detecting import EventDetector


class Computer:
    """Classifiers and detectors with their networks loaded."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import torch

        from earmark.classifier.classifier import Classifier
        from earmark.detection.detecting import EventDetector

        torch.set_num_threads(1)
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
            ]
        }

    def answer(self, value: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Return the JSON of an answer; ``body`` is the message of the decoder."""
        from earmark.data.clip import Clip

        text, samples = frames.unpack_text(body)
        clip = Clip(Path(NAME), recording=DecodedSource.unpack(text, samples))
        try:
            is_clip = value["model"] in self._sessions
            shown = self._predict(value, clip) if is_clip else self._detect(value, clip)
        except AudioError as error:
            return {"error": str(error), "kind": error.kind}, b""
        except EarmarkError as error:
            return {"error": str(error), "kind": "request"}, b""
        answer = {"schema": JSON_SCHEMA, "model": value["model"], **shown}
        return {}, json_text(answer).encode()

    def _predict(self, value: dict[str, Any], clip: Clip) -> dict[str, Any]:
        prediction = self._sessions[value["model"]].predict(clip, coverage=value["coverage"])
        assert not isinstance(prediction, list)
        shown = prediction_json(prediction, value["top"])
        del shown["path"]
        return shown

    def _detect(self, value: dict[str, Any], clip: Clip) -> dict[str, Any]:
        shown = detection_json(self._detectors[value["model"]].detect(clip))
        del shown["path"], shown["begins_at"]  # the name of a file would say when it begins
        return shown
