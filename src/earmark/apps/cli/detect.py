"""``earmark detect``: the events in recordings of any length."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.apps.cli import signals
from earmark.apps.cli.detect_options import OutputOptions, Outputs, Repeatable, RuleOptions
from earmark.apps.cli.detect_parts import detect_parts
from earmark.apps.cli.options import JSON_LINES, ClassifierOptions, InputOptions
from earmark.apps.cli.part_options import PartOptions
from earmark.apps.cli.progress import Hours, hours_bar, span_text
from earmark.apps.cli.text import Repeats, print_csv, print_json, report_skipped, say, warn_of
from earmark.errors import AudioError, DataError, amount

if TYPE_CHECKING:
    from earmark.data.event import RecordingEvents
    from earmark.detection.detecting import Detection, EventDetector
    from earmark.detection.jobs import Job
    from earmark.detection.journal import Journal
    from earmark.detection.score_files import ScoredStretch
    from earmark.embeddings.stages import Failure


def detect(
    *,
    trained: ClassifierOptions,
    inputs: InputOptions,
    rules: RuleOptions,
    outputs: OutputOptions,
    parts: PartOptions,
    as_json: bool = JSON_LINES,
) -> None:
    """Find events in recordings of any length, and print or write start, end, label and score.

    With -o, --scores or --clips, a run that was stopped continues when the same command is run
    again. With --on or --share, a folder gets a Parquet file for each 32 recordings, and a table of
    all. The exit code is 1 if a recording could not be read.
    """
    model = trained.file()
    labels = rules.check(model)
    if (folder := outputs.parts_folder(parts)) is not None:
        detect_parts(trained, model, inputs, rules, folder, outputs.timezone, parts, as_json)
        return
    places = outputs.check(model, inputs.paths, labels)
    jobs = _jobs(inputs, places, trained.allow_remote)
    from earmark.detection.cost import cost_of
    from earmark.detection.detecting import NO_DETECTOR, EventDetector

    classifier = trained.load(model)
    warn_of(model, classifier.estimate.warning)
    warn_of(model, None if classifier.detector is not None else NO_DETECTOR)
    detector = EventDetector.load(classifier, rules.threshold, **rules.changes)
    if (cost := cost_of(detector.scorer)) is not None:
        say(
            f"note: a network of {model} computes each window by itself:"
            f" {cost.windows_per_hour:,.0f} windows an hour, about {cost.speed:.3g} x real time"
            " on this machine"
        )
    lengths = [_header_s(job) for job in jobs]
    with _journal(places, detector) as journal, hours_bar("searching", lengths) as hours:
        run = _Run(detector, places, journal, hours, places.root(jobs), as_json)
        run.search(jobs, lengths)
        run.finish()
    report_skipped(run.failures)
    inputs.finish(len(run.failures))


def _jobs(inputs: InputOptions, places: Outputs, allow_remote: bool) -> list[Job]:
    """Return the recordings to search; refuse those that the outputs cannot hold."""
    from earmark.classifier.recordings import clips_of
    from earmark.detection.jobs import jobs_of

    recordings, _ = inputs.recordings(allow_remote)
    given = jobs_of(clips_of(recordings))
    jobs = places.without_clips(given)
    if len(jobs) < len(given):
        left_out = amount(len(given) - len(jobs), "recording")
        say(f"note: {left_out} in {places.options.clips} left out; --clips writes there")
    if not jobs:
        raise DataError("every recording lies in the folder of --clips. Name another folder.")
    places.check_paths(jobs)
    return jobs


@contextlib.contextmanager
def _journal(places: Outputs, detector: EventDetector) -> Iterator[Journal]:
    """Open the journal; it is deleted when all is done, but stays after an error."""
    from earmark.detection.journal import Journal

    columns = len(detector.scorer.classifier.labels) + 1
    key = _journal_key(places, detector)
    if (folder := places.journal) is None:
        with (
            tempfile.TemporaryDirectory(prefix="earmark-") as place,
            Journal(Path(place) / "journal", key, columns) as journal,
        ):
            yield journal
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    signals.goes_on()
    with Journal(folder, key, columns) as journal:
        if journal.is_other:
            say(
                "note: the classifier or an option has changed since this run was stopped, so it"
                " begins anew"
            )
        if journal.n_before:
            done = amount(journal.n_before, "recording")
            say(f"note: {done} already searched by a run that was stopped")
        yield journal
        journal.delete()


def _journal_key(places: Outputs, detector: EventDetector) -> dict[str, Any]:
    """Return what the events, scores and clips depend on, besides the recordings."""
    from earmark.version import __version__

    options, scorer = places.options, detector.scorer
    return {
        "earmark": __version__,
        "model": scorer.classifier.digest,
        "rules": detector.rules.to_json(),
        "windows": [scorer.window_s, scorer.hop_s],
        "scores": options.scores is not None,
        "clips": options.clips and [os.path.abspath(options.clips), options.margin],
    }


def _header_s(job: Job) -> float:
    """Return the seconds to search by the header of a recording; 0 if unknown or elsewhere."""
    from earmark.audio.reading import header_of
    from earmark.audio.uri import UriSource

    if isinstance(job.source, UriSource):
        return 0.0
    try:
        header = header_of(job.source)
    except AudioError:
        return 0.0
    whole = header.frames / header.rate_hz
    return sum((whole if end is None else end) - (start or 0.0) for start, end in job.stretches)


@dataclass
class _Run:
    """The recordings one after the other: search, cut, note in the journal, print."""

    detector: EventDetector
    places: Outputs
    journal: Journal
    hours: Hours
    root: Path
    as_json: bool
    done: list[tuple[str, Job]] = field(default_factory=list)  # with keys of the journal
    failures: list[Failure] = field(default_factory=list)
    n_events: int = 0
    columns: int = 0  # of CSV
    repeats: Repeats = field(default_factory=Repeats)

    def search(self, jobs: Sequence[Job], lengths: Sequence[float]) -> None:
        """Search recordings that the journal does not have, and write what each has of its own.

        ``lengths`` are those of headers, in seconds; 0 where unknown.
        """
        from earmark.detection.event_clips import clip_stems
        from earmark.detection.jobs import searched_s
        from earmark.detection.journal import version_key
        from earmark.embeddings.stages import Failure

        self._print_header(jobs)
        stems = clip_stems([job.path for job in jobs], self.root)
        if self.journal.was_there:
            self.places.delete_parts(jobs, stems)
        for job, stem, header_s in zip(jobs, stems, lengths, strict=True):
            key = version_key(job) or job.path
            is_new = key not in self.journal
            try:
                if is_new:
                    self._compute(key, job, stem)
            except AudioError as error:
                self.journal.drop_scores()
                self.hours.end(header_s, 0.0)
                self.failures.append(Failure(job.clips[0], f"{error.reason}.", error.kind))
                self._print_failure(job.path, f"{error.reason}.")
                continue
            detection = self.journal.detection(key, job.path)
            recording = self._with_clock(detection.recording)
            self.hours.end(header_s, searched_s(recording), is_new)
            self.places.write_each(recording, self.root)
            self.done.append((key, job))
            self.n_events += len(recording.events)
            self._print(replace(detection, recording=recording))
        self.repeats.finish()

    def _compute(self, key: str, job: Job, stem: str) -> None:
        from earmark.detection.event_clips import cut_events
        from earmark.detection.jobs import search

        options = self.places.options
        keep = self.journal.add_scores if options.scores else _ignore
        detection = search(self.detector, job, self.hours.advance, keep)
        if options.clips is not None:
            recording = replace(detection.recording, path=job.path)
            cut_events(recording, options.clips, stem, options.margin)
        self.journal.add(key, detection)

    def finish(self) -> None:
        """Write the tables of all recordings, and say how much was found."""
        from earmark.apps.cli.detect_summary import count_lines

        recordings = Repeatable(self._recordings)
        if self.done:
            self.places.write_table(recordings)
            if self.places.options.scores is not None:
                from earmark.detection.score_files import write_scores

                labels = self.detector.scorer.classifier.labels
                write_scores(self.places.options.scores, labels, Repeatable(self._stretches))
        elif (output := self.places.options.output) is not None:
            say(f"no recording could be read, so {output} was not written")
        say(*count_lines(recordings))
        hours = self.hours
        text = f"{amount(self.n_events, 'event')} in {span_text(hours.done_s)} of"
        text += f" {amount(len(self.done), 'recording')}"
        if hours.computed_s:
            text += f"; computed in {span_text(hours.elapsed_s)}, {hours.speed:.0f} x real time"
        say(text)

    def _recordings(self) -> Iterator[RecordingEvents]:
        for key, job in self.done:
            yield self._with_clock(self.journal.detection(key, job.path).recording)

    def _stretches(self) -> Iterator[ScoredStretch]:
        from earmark.detection.score_files import ScoredStretch

        scorer = self.detector.scorer
        for key, job in self.done:
            for run, rows in self.journal.scores(key):
                first_s = run.start_s + scorer.first_s
                yield ScoredStretch(job.path, first_s, scorer.hop_s, rows)

    def _with_clock(self, recording: RecordingEvents) -> RecordingEvents:
        from earmark.data.clock import begins_at

        begins = begins_at(recording.path, self.places.options.timezone)
        return replace(recording, begins_at=begins)

    def _prints_csv(self) -> bool:
        return not self.as_json and self.places.options.output is None

    def _print_header(self, jobs: Sequence[Job]) -> None:
        """Print the names of columns; there is one of clock times if any recording has one."""
        from earmark.data.clock import begins_at
        from earmark.data.event_formats import EventRow

        self.columns = len(EventRow._fields)
        if not any(begins_at(job.path) for job in jobs):
            self.columns -= 1
        if self._prints_csv():
            print_csv([EventRow._fields[: self.columns]])

    def _print(self, detection: Detection) -> None:
        for message in detection.warnings:
            self.repeats.say(detection.recording.path, message)
        if self.as_json:
            print_json(detection_json(detection))
        elif self._prints_csv():
            print_csv(list(self._rows(detection.recording)))

    def _rows(self, recording: RecordingEvents) -> Iterator[list[str]]:
        from earmark.data.event_formats import cells_of, rows_of

        for row in rows_of([recording], Path.cwd()):
            yield cells_of(row)[: self.columns]

    def _print_failure(self, path: str, reason: str) -> None:
        if self.as_json:
            print_json({"path": path, "error": reason})


def _ignore(_start_s: float, _scores: Any) -> None:
    pass


def detection_json(detection: Detection) -> dict[str, Any]:
    """Return the object that ``detect --json`` prints for one recording."""
    from earmark.data.event_formats import rows_of

    recording = detection.recording
    regions = recording.regions
    return {
        "path": recording.path,
        "seconds": round(recording.seconds, 3),
        "begins_at": recording.begins_at and recording.begins_at.isoformat(timespec="milliseconds"),
        "regions": None if regions is None else [[round(a, 3), round(b, 3)] for a, b in regions],
        "events": [_event_json(row._asdict()) for row in rows_of([recording], Path.cwd())
                   if row.start is not None],
        **({"warnings": list(detection.warnings)} if detection.warnings else {}),
    }  # fmt: skip


def _event_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "path" and value is not None}
