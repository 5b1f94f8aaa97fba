"""The options of ``earmark detect``: rules, and what is written where."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Option

from earmark.apps.cli.checks import check_folder, check_output, header_of_model
from earmark.apps.cli.options import CLIPS, MARGIN
from earmark.apps.cli.part_options import PartOptions, is_folder
from earmark.errors import EarmarkError, did_you_mean

if TYPE_CHECKING:
    from earmark.data.event import RecordingEvents
    from earmark.detection.jobs import Job

SUFFIXES = (".csv", ".json", ".parquet", ".txt")  # of an output that is a file
JOURNAL = ".journal"  # the end of the name of the folder that a stopped run leaves


@dataclass(frozen=True, kw_only=True)
class RuleOptions:
    """The rules that turn scores into events; without an option, those of the classifier."""

    threshold: str = Option(
        "auto", help="Score that begins an event: auto, a number, or CLASS=0.7,... for classes."
    )
    min_gap: float | None = Option(
        None, help="Join events of a class that are closer than this, in seconds."
    )
    min_duration: float | None = Option(
        None, help="Drop events that are shorter than this, in seconds."
    )
    max_duration: float | None = Option(
        None, help="Cut longer events into parts of at most this length, in seconds."
    )
    pad: float | None = Option(
        None, help="Move both ends of each event outwards by this, in seconds."
    )

    @property
    def changes(self) -> dict[str, Any]:
        """The rules that were given, by their names in ``EventRules``."""
        values = {
            "min_gap_s": self.min_gap,
            "min_duration_s": self.min_duration,
            "max_duration_s": self.max_duration,
            "pad_s": self.pad,
        }
        return {name: value for name, value in values.items() if value is not None}

    def check(self, model: Path) -> list[str]:
        """Refuse rules that the classifier cannot follow; return its labels.

        Only the header of the classifier is read; loading the classifier checks the rest.
        """
        from earmark.detection.rules import parse_thresholds

        for name, value in self.changes.items():
            option = f"--{name.removesuffix('_s').replace('_', '-')}"
            if not 0 <= value < float("inf"):
                raise EarmarkError(f"{option} is {value:g}. Give seconds, 0 or more.")
        if self.max_duration == 0:
            raise EarmarkError("--max-duration is 0. Give seconds above 0.")
        if self.max_duration is not None and self.max_duration < (self.min_duration or 0):
            raise EarmarkError(
                f"--max-duration is {self.max_duration:g}, shorter than --min-duration"
                f" {self.min_duration:g}. Give a longer maximum, or a shorter minimum."
            )
        labels = header_of_model(model).get("labels")
        if not isinstance(labels, list) or not all(isinstance(x, str) for x in labels):
            return []
        parse_thresholds(self.threshold, labels, [0.5] * len(labels))
        return labels


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What is written for the events, and where."""

    output: str | None = Option(
        None,
        "-o",
        "--output",
        help="A file: one table of all events. A folder: a file for each recording. Without it,"
        " CSV is printed.",
    )
    formats: str | None = Option(
        None,
        "--format",
        help="csv, raven, audacity, json, kaleidoscope or parquet; several, such as csv,json, need"
        " a folder.",
    )
    scores: Path | None = Option(
        None, help="Write the scores of all windows into this .csv, .npz or .parquet file."
    )
    clips: Path | None = CLIPS
    margin: float = MARGIN
    timezone: str | None = Option(
        None,
        help="Where the clocks of the recorders were set: Europe/Berlin or +02:00. Clock times are"
        " read from file names.",
    )

    def parts_folder(self, parts: PartOptions) -> Path | None:
        """Return the folder if the output is one of parts; refuse what such a folder cannot have.

        A folder is one of parts if the options say so, or if it has parts already. Other folders
        get a file for each recording.
        """
        if self.output is None:
            parts.check_no_output()
            return None
        from earmark.data.parts import is_folder_of_parts

        output = Path(self.output)
        parts.check(output, is_folder(output, SUFFIXES))
        if not parts.are_given and not is_folder_of_parts(output):
            return None
        given = {"--format": self.formats, "--scores": self.scores, "--clips": self.clips}
        name = next((name for name, value in given.items() if value is not None), None)
        if name is not None or self.margin:
            raise EarmarkError(
                f"{name or '--margin'} cannot be used with parts, whose events are in"
                " events.csv. Leave it out, or name another folder with -o."
            )
        return output

    def check(self, model: Path, inputs: Sequence[str], labels: Sequence[str]) -> Outputs:
        """Refuse outputs that cannot be written; nothing slow is imported before."""
        from earmark.data.clock import zone_of
        from earmark.data.event_files import check_label

        if self.timezone is not None:
            zone_of(self.timezone)
        if self.margin and self.clips is None:
            raise EarmarkError("--margin needs --clips. Add it.")
        outputs = Outputs.of(self, inputs)
        for format in outputs.formats:
            for label in labels:
                check_label(label, format)
        given: list[str | Path] = [model, *(path for path in inputs if not os.path.isdir(path))]
        if outputs.table is not None:
            check_output(outputs.table, *given)
        if outputs.folder is not None:
            check_folder(outputs.folder, *given)
        if self.scores is not None:
            from earmark.detection.score_files import check_scores

            check_scores(self.scores)
            check_output(self.scores, *given, *([outputs.table] if outputs.table else []))
            if outputs.table and os.path.abspath(outputs.table) == os.path.abspath(self.scores):
                raise EarmarkError(
                    f"-o and --scores both write {self.scores}. Name two different files."
                )
        check_folder(self.clips, *inputs)
        return outputs


@dataclass(frozen=True)
class Outputs:
    """Where events go: into one ``table``, a ``folder`` of files, or (neither) to the terminal."""

    table: Path | None
    folder: Path | None
    formats: tuple[str, ...]
    options: OutputOptions
    inputs: tuple[str, ...]

    @classmethod
    def of(cls, options: OutputOptions, inputs: Sequence[str]) -> Outputs:
        """Return the outputs that the options name."""
        output, formats = options.output, _formats_of(options.formats)
        if output is None:
            if formats not in ((), ("csv",)):
                raise EarmarkError(f"--format {options.formats} needs -o. Name a file or a folder.")
            return cls(None, None, (), options, tuple(inputs))
        path = Path(output)
        is_folder = path.is_dir() or output.endswith(("/", os.sep)) or not path.suffix
        if is_folder and not path.is_file():
            return cls(None, path, formats or ("csv",), options, tuple(inputs))
        if len(formats) > 1:
            raise EarmarkError(
                f"--format has {len(formats)} formats, and {output} is one file. Name a folder with"
                " -o, or give one format."
            )
        if not formats:
            formats = (_format_of(path),)
        if formats == ("audacity",):
            raise EarmarkError(
                "--format audacity writes a label track for each recording. Name a folder with -o."
            )
        if formats == ("parquet",):
            from earmark.system import extras

            extras.load("pyarrow", "parquet", "writing Parquet")
        return cls(path, None, formats, options, tuple(inputs))

    @property
    def journal(self) -> Path | None:
        """The folder of the journal, beside the first output; None if nothing is written."""
        if self.folder is not None:
            return self.folder / JOURNAL
        for path in (self.table, self.options.scores):
            if path is not None:
                return path.absolute().parent / f".{path.name}{JOURNAL}"
        return None if self.options.clips is None else self.options.clips / JOURNAL

    def without_clips(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the recordings that do not lie in the folder of clips."""
        if self.options.clips is None:
            return list(jobs)
        folder = Path(os.path.abspath(self.options.clips))
        return [job for job in jobs if folder not in Path(os.path.abspath(job.path)).parents]

    def root(self, jobs: Sequence[Job]) -> Path:
        """Return the folder whose sub-folders are repeated in the outputs."""
        folders = [os.path.abspath(path) for path in self.inputs if os.path.isdir(path)]
        parents = {os.path.dirname(os.path.abspath(job.path)) for job in jobs}
        outside = [
            path for path in parents if not any(Path(path).is_relative_to(f) for f in folders)
        ]
        try:
            return Path(os.path.commonpath([*folders, *outside]))
        except ValueError:  # on several drives
            return Path(os.path.abspath(os.sep))

    def check_paths(self, jobs: Sequence[Job]) -> None:
        """Refuse paths that a format cannot hold, and outputs that are recordings."""
        from earmark.data.event_files import check_path, events_path

        recordings = {os.path.realpath(job.path) for job in jobs}
        for path in (self.table, self.options.scores):
            if path is not None:
                _check_apart(path, recordings)
        root = self.root(jobs)
        for job in jobs:
            for format in self.formats:
                check_path(job.path, format)
                if self.folder is not None:
                    _check_apart(events_path(job.path, self.folder, format, root), recordings)

    def write_each(self, recording: RecordingEvents, root: Path) -> None:
        """Write the files of one recording, if each has its own."""
        from earmark.data.event_files import write_each

        if self.folder is not None:
            for format in self.formats:
                write_each(recording, self.folder, format, root)

    def write_table(self, recordings: Iterable[RecordingEvents]) -> None:
        """Write the table of all recordings, if there is one."""
        from earmark.data.event_files import write_events

        if self.table is not None:
            write_events(recordings, self.table, self.formats[0])

    def delete_parts(self, jobs: Sequence[Job], stems: Sequence[str]) -> None:
        """Delete the unfinished files of these outputs that a killed run has left."""
        from earmark.data.event_files import events_path

        for path in (self.table, self.options.scores):
            if path is not None:
                _delete_parts(path.absolute().parent.glob(".*.part"), {_begin(path.name)})
        if self.folder is not None:
            root = self.root(jobs)
            names = (
                events_path(job.path, self.folder, format, root).name
                for job in jobs
                for format in self.formats
            )
            _delete_parts(self.folder.rglob(".*.part"), set(map(_begin, names)))
        if self.options.clips is not None:
            begins = {f".{f'{stem}_':.32}" for stem in stems}
            _delete_parts(self.options.clips.rglob(".*.part"), begins)


class Repeatable:
    """An iterable that makes a new iterator each time, so that all need not be in memory."""

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        return self._make()


def _formats_of(text: str | None) -> tuple[str, ...]:
    from earmark.data.event_files import FORMATS

    names = [] if text is None else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in FORMATS:
            raise EarmarkError(
                f"--format {name!r} is not known.{did_you_mean(name, FORMATS)} Choose from"
                f" {', '.join(FORMATS)}."
            )
    return tuple(dict.fromkeys(names))


def _format_of(path: Path) -> str:
    """Return the format that the suffix of a table names."""
    name = path.suffix.lower().lstrip(".")
    if name not in ("csv", "json", "parquet"):
        raise EarmarkError(
            f"the suffix of {path} names no format. Give --format, or a file that ends in .csv,"
            " .json or .parquet."
        )
    return name


def _check_apart(output: Path, recordings: set[str]) -> None:
    if os.path.realpath(output) in recordings:
        raise EarmarkError(f"{output} is an input and would be overwritten. Name another output.")


def _begin(name: str) -> str:
    """Return how the name of an unfinished file begins; see ``whole_file``."""
    return f".{name:.32}."


def _delete_parts(paths: Iterable[Path], begins: set[str]) -> None:
    for path in paths:
        if any(path.name.startswith(begin) for begin in begins):
            path.unlink(missing_ok=True)
