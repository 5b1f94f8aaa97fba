"""Compute predictions of decoded recordings: in a process of its own, one clip at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from earmark.apps.cli.text import JSON_SCHEMA, prediction_json
from earmark.apps.service import frames
from earmark.apps.service.decoding import NAME
from earmark.audio.decoded import DecodedSource
from earmark.errors import AudioError, EarmarkError
from earmark.system.jsons import json_text


class Computer:
    """Classifiers with their networks loaded."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import torch

        from earmark.classifier.classifier import Classifier

        torch.set_num_threads(1)
        self._sessions = {
            name: Classifier.load(path).session() for name, path in settings["models"].items()
        }

    def hello(self) -> dict[str, Any]:
        """Return what ``/v1/models`` says of each classifier."""
        return {
            "models": [
                {
                    "name": name,
                    "labels": list(session.classifier.labels),
                    "backbones": [use.name for use in session.classifier.backbones],
                    "digest": session.classifier.digest,
                    "warning": session.classifier.estimate.warning,
                }
                for name, session in self._sessions.items()
            ]
        }

    def answer(self, value: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Return the JSON of a prediction; ``body`` is the message of the decoder."""
        from earmark.data.clip import Clip

        try:
            text, samples = frames.unpack_text(body)
            source = DecodedSource.unpack(text, samples)
            clip = Clip(Path(NAME), recording=source)
            session = self._sessions[value["model"]]
            prediction = session.predict(clip, coverage=value["coverage"])
        except AudioError as error:
            return {"error": str(error), "kind": error.kind}, b""
        except EarmarkError as error:
            return {"error": str(error), "kind": "request"}, b""
        shown = prediction_json(prediction, value["top"])  # type: ignore[arg-type]  # of one clip
        del shown["path"]
        answer = {"schema": JSON_SCHEMA, "model": value["model"], **shown}
        return {}, json_text(answer).encode()
