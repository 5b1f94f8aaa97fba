"""Parts with events: a row for each recording that was searched."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from earmark.audio.options import DECODER_VERSION
from earmark.classifier.classifier import Classifier
from earmark.data.blocks import Block
from earmark.data.clip import Clip
from earmark.data.event import Event, RecordingEvents
from earmark.detection.detecting import Detection, EventDetector
from earmark.detection.jobs import Job, jobs_of, search, searched_s
from earmark.embeddings.part import Part, relative_place
from earmark.embeddings.part_work import machine_of
from earmark.errors import AudioError
from earmark.system import extras
from earmark.system.progress import Progress
from earmark.system.text import to_utf8

FORMAT = 1  # of the file of a part: raise it when a column goes or changes its meaning
DETECT = "detect"
COLUMNS = ("length", "regions", "events", "error")
PART_RECORDINGS = 32  # in a part: a night of a recorder; a killed run loses no more

Found = tuple[Job, Detection]  # the detection may have an error


def blocks_of_recordings(clips: Iterable[Clip]) -> Iterator[Block]:
    """Yield blocks of ``PART_RECORDINGS`` recordings.

    Rows that follow each other and name one recording count as one. So the stretches of a recording
    are in one block unless other rows are between them.
    """
    runs = (tuple(run) for _, run in itertools.groupby(clips, key=lambda clip: clip.place))
    for number in itertools.count():
        block = tuple(itertools.chain.from_iterable(itertools.islice(runs, PART_RECORDINGS)))
        if not block:
            return
        yield number, block


@dataclass(frozen=True)
class DetectSettings:
    """What all parts with the events of a detector share."""

    detector: EventDetector

    def to_json(self) -> dict[str, Any]:
        """Return the object for ``parts.json``; equal settings give equal objects."""
        scorer = self.detector.scorer
        classifier = scorer.classifier
        return {
            "format": FORMAT,
            "kind": DETECT,
            "model": classifier.digest,
            "backbones": [use.fingerprint for use in classifier.backbones],
            "labels": [to_utf8(label) for label in classifier.labels],
            "rules": self.detector.rules.to_json(),
            "windows": [scorer.window_s, scorer.hop_s],
            "audio": asdict(classifier.audio),
            "decoder": DECODER_VERSION,
            "part_recordings": PART_RECORDINGS,
        }


@dataclass(frozen=True)
class DetectWork:
    """Finds the events in recordings; see :class:`~earmark.embeddings.part_work.PartWork`.

    ``root`` is the folder that paths of recordings start from.
    """

    settings: DetectSettings
    root: Path

    @classmethod
    def load(cls, how: Mapping[str, Any], root: Path) -> DetectWork:
        """Load the classifier.

        ``how`` has the arguments in types of JSON: ``model`` (a path), ``allow_remote``,
        ``threshold``, ``rules``.
        """
        classifier = Classifier.load(how["model"], allow_remote=how["allow_remote"])
        detector = EventDetector.load(classifier, how["threshold"], **how["rules"])
        return cls(DetectSettings(detector), root)

    def machine(self) -> str:
        return machine_of(*self.settings.detector.scorer.networks)

    def compute(
        self, parts: Iterable[Part], threads: int | None = None, progress: Progress | None = None
    ) -> Iterator[tuple[Part, Sequence[Found]]]:
        for part in parts:
            found = []
            for job in jobs_of(part.clips):
                found.append((job, self._search(job, threads)))
                if progress is not None:
                    progress.advance(searched_s(found[-1][1].recording))
            if progress is not None:
                for _ in part.clips[len(found) :]:  # further stretches of these recordings
                    progress.advance()
            yield part, found

    def _search(self, job: Job, threads: int | None) -> Detection:
        try:
            return search(self.settings.detector, job, _ignore, _ignore, threads)
        except AudioError as error:
            return Detection(RecordingEvents(job.path, 0.0, ()), error=f"{error.reason}.")

    def table(self, results: Sequence[Found]) -> Any:
        pa = extras.load("pyarrow", "parquet", "writing parts")
        text, number = pa.string(), pa.float64()
        event = pa.struct([("start", number), ("end", number), ("label", text), ("score", number)])
        region = pa.struct([("start", number), ("end", number)])
        found = [None if d.error is not None else d.recording for _, d in results]
        paths = [relative_place(job.clips[0], self.root) for job, _ in results]
        events = [[_event_row(e) for e in r.events] if r else None for r in found]
        regions = [
            [{"start": a, "end": b} for a, b in r.regions] if r and r.regions is not None else None
            for r in found
        ]
        return pa.table(
            {
                "path": pa.array([to_utf8(path) for path in paths], text),
                "seconds": pa.array([searched_s(r) if r else None for r in found], number),
                "length": pa.array([r.seconds if r else None for r in found], number),
                "regions": pa.array(regions, pa.list_(region)),
                "events": pa.array(events, pa.list_(event)),
                "warning": pa.array(["\n".join(d.warnings) or None for _, d in results], text),
                "error": pa.array([d.error for _, d in results], text),
            }
        )


def _event_row(event: Event) -> dict[str, Any]:
    return asdict(event) | {"label": to_utf8(event.label)}


def _ignore(*_: object) -> None:
    pass


def recordings_of(
    table: Mapping[str, Sequence[Any]], clips: Sequence[Clip], labels: Sequence[str]
) -> Iterator[RecordingEvents]:
    """Yield the recordings in the table of a part that could be read, with their events.

    Paths are those of ``clips``, the rows of the part, and labels those of ``labels``.
    """
    by_text = {to_utf8(label): label for label in labels}
    for number, job in enumerate(jobs_of(clips)):
        row = {name: column[number] for name, column in table.items()}
        if row["error"] is not None:
            continue
        events = tuple(
            Event(e["start"], e["end"], by_text.get(e["label"], e["label"]), e["score"])
            for e in row["events"]
        )
        regions = row["regions"]
        spans = None if regions is None else tuple((r["start"], r["end"]) for r in regions)
        yield RecordingEvents(job.path, row["length"], events, spans)
