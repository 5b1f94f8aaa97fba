"""Parts with predictions: the classes and scores of each clip."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark.audio.options import DECODER_VERSION
from earmark.classifier.classifier import Classifier
from earmark.classifier.prediction import Prediction
from earmark.classifier.session import Session
from earmark.data.clip import Clip
from earmark.embeddings import shares
from earmark.embeddings.part import Part, relative_place
from earmark.embeddings.part_work import by_part, machine_of
from earmark.system import extras
from earmark.system.progress import Progress
from earmark.system.text import to_utf8

FORMAT = 1  # of the file of a part: raise it when a column goes or changes its meaning
PREDICT = "predict"
COLUMNS = ("label", "labels", "is_unknown", "scores", "seconds", "warning", "error")


@dataclass(frozen=True)
class PredictSettings:
    """What all parts with predictions of a classifier share; see ``Session.predict``."""

    classifier: Classifier
    coverage: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the object for ``parts.json``; equal settings give equal objects."""
        return {
            "format": FORMAT,
            "kind": PREDICT,
            "model": self.classifier.digest,
            "backbones": [use.fingerprint for use in self.classifier.backbones],
            "labels": [to_utf8(label) for label in self.classifier.labels],
            "coverage": self.coverage,
            "audio": asdict(self.classifier.audio),
            "decoder": DECODER_VERSION,
            "part_clips": shares.PART_CLIPS,
        }


@dataclass(frozen=True)
class PredictWork:
    """Predicts the classes of clips; see :class:`~earmark.embeddings.part_work.PartWork`.

    ``root`` is the folder that paths of recordings start from.
    """

    settings: PredictSettings
    session: Session
    root: Path

    @classmethod
    def load(cls, how: Mapping[str, Any], root: Path) -> PredictWork:
        """Load the classifier.

        ``how`` has the arguments in types of JSON: ``model`` (a path), ``allow_remote``,
        ``coverage``.
        """
        classifier = Classifier.load(how["model"], allow_remote=how["allow_remote"])
        return cls(PredictSettings(classifier, how["coverage"]), Session(classifier), root)

    def machine(self) -> str:
        return machine_of(*self.session.networks)

    def compute(
        self, parts: Iterable[Part], threads: int | None = None, progress: Progress | None = None
    ) -> Iterator[tuple[Part, Sequence[Prediction]]]:
        predict = functools.partial(
            self.session.answers,
            coverage=self.settings.coverage,
            threads=threads,
            progress=progress,
        )
        return by_part(parts, predict)

    def table(self, results: Sequence[Prediction]) -> Any:
        pa = extras.load("pyarrow", "parquet", "writing parts")
        read = [p.error is None for p in results]
        text, number, names = pa.string(), pa.float64(), pa.list_(pa.string())
        scores = np.array(
            [[p.scores.get(y, 0.0) for y in self.settings.classifier.labels] for p in results]
        )
        paths = [relative_place(Clip(p.path), self.root) for p in results]  # type: ignore[arg-type]
        columns = {
            "path": pa.array([to_utf8(path) for path in paths], text),
            "start": pa.array([p.start for p in results], number),
            "end": pa.array([p.end for p in results], number),
            "seconds": _where(read, [p.seconds for p in results], number),
            "label": pa.array([to_utf8(p.label) for p in results], text),
            "labels": _where(read, [[to_utf8(y) for y in p.labels] for p in results], names),
            "is_unknown": _where(read, [p.is_unknown for p in results], pa.bool_()),
            "score": _where(read, [p.score for p in results], number),
            "scores": pa.FixedSizeListArray.from_arrays(
                pa.array(scores.ravel(), number),
                scores.shape[1],
                mask=pa.array([not is_read for is_read in read]),
            ),
            "warning": pa.array(["\n".join(p.warnings) or None for p in results], text),
            "error": pa.array([p.error for p in results], text),
        }
        if self.settings.coverage is not None:
            plausible = [[to_utf8(y) for y in p.plausible or ()] for p in results]
            columns["plausible"] = _where(read, plausible, names)
        return pa.table(columns)


def _where(read: Sequence[bool], values: Sequence[Any], kind: Any) -> Any:
    """Return a column that is null for recordings that could not be read."""
    pa = extras.load("pyarrow", "parquet", "writing parts")
    return pa.array([v if is_read else None for v, is_read in zip(values, read, strict=True)], kind)


def predictions_of(
    table: Mapping[str, Sequence[Any]], clips: Sequence[Clip], labels: Sequence[str]
) -> Iterator[Prediction]:
    """Yield the predictions in the table of a part, with the names of ``clips`` and ``labels``."""
    by_text = {to_utf8(label): label for label in labels}
    for number, clip in enumerate(clips):
        row = {name: column[number] for name, column in table.items()}
        if row["error"] is not None:
            yield Prediction(clip.place, error=row["error"], start=clip.start, end=clip.end)
            continue
        order = np.argsort(-np.array(row["scores"]), kind="stable")
        plausible = row.get("plausible")
        yield Prediction(
            clip.source.name,
            by_text.get(row["label"], row["label"]),
            {labels[k]: row["scores"][k] for k in order},
            row["seconds"],
            row["is_unknown"],
            warnings=tuple((row["warning"] or "").splitlines()),
            labels=tuple(by_text[y] for y in row["labels"]),
            plausible=None if plausible is None else tuple(by_text[y] for y in plausible),
            start=clip.start,
            end=clip.end,
        )
