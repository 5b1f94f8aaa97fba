"""The studio's processes that compute, each for itself: ``python -m`` starts them.

One scores live sound, another answers for whole recordings. They keep classifiers loaded and load
one again when its file has changed.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.apps.cli.detect import detection_json
from earmark.apps.cli.text import prediction_json
from earmark.apps.service import frames
from earmark.apps.service.child import Handler, main
from earmark.apps.service.hearing import Hearing
from earmark.apps.service.model_files import Status, status_of
from earmark.apps.studio.learned.shelves import model_files
from earmark.data.clip import Clip
from earmark.errors import AudioError, EarmarkError
from earmark.system.jsons import json_text

if TYPE_CHECKING:
    from earmark.classifier.classifier import Classifier
    from earmark.detection.detecting import EventDetector

MOST_LOADED = 4  # classifiers that are kept


class Loaded:
    """The classifiers of a folder, loaded at their first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, tuple[Status | None, Classifier]] = {}

    def classifier(self, name: str) -> Classifier:
        """Return a classifier as its file is now; EarmarkError if it cannot be loaded."""
        from earmark.classifier.classifier import Classifier

        path = model_files(self._folder).get(name)
        if path is None:
            self._kept.pop(name, None)
            raise EarmarkError(f"the classifier {name!r} is not there any more. Choose another.")
        status, kept = status_of(path), self._kept.pop(name, None)
        if kept is None or kept[0] != status:
            kept = status, Classifier.load(path)
        self._kept[name] = kept
        if len(self._kept) > MOST_LOADED:
            del self._kept[next(iter(self._kept))]
        return kept[1]


class StudioHearing(Hearing):
    """Scores live streams with the classifiers of a folder."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__({"models": {}, "allow_remote": False})
        self._loaded = Loaded(Path(settings["folder"]))
        self._last: tuple[Classifier, EventDetector] | None = None

    def detector(self, name: str) -> EventDetector:
        """Return a classifier as a detector; the last one is kept."""
        from earmark.detection.detecting import EventDetector

        classifier = self._loaded.classifier(name)
        if self._last is None or self._last[0] is not classifier:
            self._last = classifier, EventDetector.load(classifier)
        return self._last[1]

    def refusal(self, model: str, error: EarmarkError) -> str:
        """Return why a classifier cannot be loaded: the page belongs to the files' owner."""
        return str(error)


class Trial:
    """Answers for whole recordings, as ``earmark predict`` and ``earmark detect`` do."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(1)
        self._loaded = Loaded(Path(settings["folder"]))

    def answer(self, value: dict[str, Any], body: bytes) -> frames.Message:
        """Return the JSON of an answer, or why there is none.

        A message has the ``path`` of a recording, the ``start`` and ``end`` of a stretch of it, and
        the name of a ``model``.
        """
        clip = Clip(Path(value["path"]), start=value["start"], end=value["end"])
        try:
            shown = _shown(self._loaded.classifier(value["model"]), clip)
        except AudioError as error:
            return {"error": f"{error.reason}."}, b""
        except EarmarkError as error:
            return {"error": str(error)}, b""
        if "error" in shown:
            return {"error": shown["error"]}, b""
        return {}, json_text(shown).encode()


def _shown(classifier: Classifier, clip: Clip) -> dict[str, Any]:
    if classifier.detector is None:
        prediction = next(classifier.predict_iter([clip]))
        shown = prediction_json(prediction, len(classifier.labels))
        if prediction.error is None:
            shown |= {"labels": list(shown["scores"]), "scores": list(shown["scores"].values())}
            shown["answer"] = prediction.answer
    else:
        from earmark.detection.detecting import EventDetector

        shown = detection_json(EventDetector.load(classifier).detect(clip))
        del shown["begins_at"], shown["regions"]
        shown["labels"] = list(classifier.labels)
    del shown["path"]
    return shown


def play(role: str, settings: dict[str, Any]) -> tuple[dict[str, Any], Handler]:
    """Return what a process says when it is ready, and what answers messages."""
    if role == "listen":
        hearing = StudioHearing(settings)
        return {}, lambda messages: [hearing.answer(*message) for message in messages]
    trial = Trial(settings)
    return {}, lambda messages: [trial.answer(*message) for message in messages]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main(play)
