"""``earmark index``: embeddings of windows of many recordings, in an archive."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer import Argument, Option

from earmark.apps.cli import executors, signals
from earmark.apps.cli.checks import check_backbones, check_folder
from earmark.apps.cli.options import (
    ALLOW_REMOTE,
    ALLOW_SKIPS,
    JSON,
    PATH,
    ROOT,
    EngineOptions,
    RecordingOptions,
)
from earmark.apps.cli.progress import hours_bar, span_text
from earmark.apps.cli.text import print_json, report_read_warnings, report_skipped, say, show
from earmark.apps.cli.text import skipped_json as skipped
from earmark.errors import AudioError, EarmarkError, amount
from earmark.system import extras

if TYPE_CHECKING:
    from earmark.backbones.base import Backbone
    from earmark.data.clip import Clip
    from earmark.embeddings.archive import ArchiveNetwork
    from earmark.embeddings.archive_listing import Listing
    from earmark.embeddings.archive_recordings import Changes, Task
    from earmark.embeddings.archive_writer import ArchiveWriter
    from earmark.embeddings.stages import Failure
    from earmark.embeddings.window_settings import WindowSettings

LONGEST_S = 600.0  # of a window
CHANGED = "changed while it was read; run the same command again."


def index(
    *,
    source: str = Argument(metavar="DIR", help="A folder of recordings, or a manifest."),
    output: Path = Option(..., "-o", "--output", help="The folder of the archive."),
    backbone: str = Option("speech-embedding", help="The pretrained network: NAME."),
    window: float = Option(1.0, help="Length of a window in seconds."),
    hop: float = Option(0.5, help="Seconds from the start of a window to the next one."),
    table: Path | None = Option(
        None, help="With a folder: a table with a row for each recording, such as site and date."
    ),
    path: str = PATH,
    root: str | None = ROOT,
    recording: RecordingOptions,
    engine: EngineOptions,
    on: str | None = Option(
        None, help="Workers that run the network: local (processes here), ray or ray:ADDRESS."
    ),
    thorough: bool = Option(
        False, "--thorough", help="Check each part of the archive by its digest, not by its time."
    ),
    allow_remote: bool = ALLOW_REMOTE,
    allow_skips: bool = ALLOW_SKIPS,
    as_json: bool = JSON,
) -> None:
    """Compute embeddings of windows of all recordings in DIR into an archive, to search it.

    The same command computes what is new or has changed, and goes on where a stopped run was. An
    archive may have several data sets and several backbones.
    """
    extras.load("pyarrow", "parquet", "writing parts")
    check_backbones(backbone)
    _check_grid(window, hop)
    check_folder(output, source)
    executors.check_package(on)
    from earmark.embeddings.archive_listing import list_recordings

    place = Path(os.path.abspath(output))
    listing = list_recordings(source, table, path=path, root=root, allow_remote=allow_remote)
    for note in listing.notes:
        say(f"note: {note}")
    from earmark.backbones.registry import load_backbone
    from earmark.embeddings.archive_writer import ArchiveWriter

    network = load_backbone(backbone, **asdict(engine))
    settings = _settings(network, recording, window, hop)
    signals.goes_on()
    with ArchiveWriter(place) as writer:
        run = _Run(writer, listing, network, settings, recording)
        run.compute(thorough, on, engine)
    if as_json:
        print_json(run.json())
    else:
        show(*run.lines())
    report_read_warnings(run.warnings)
    report_skipped(run.failures)
    if run.failures and not allow_skips:
        raise typer.Exit(1)


def _check_grid(window: float, hop: float) -> None:
    """Refuse windows that make no sense."""
    if not 0 < window <= LONGEST_S:
        raise EarmarkError(f"--window is {window:g}. Give seconds above 0, at most {LONGEST_S:g}.")
    if not 0 < hop <= window:
        raise EarmarkError(
            f"--hop is {hop:g}. Give seconds above 0, at most the window ({window:g}), so that"
            " windows leave no gaps."
        )


def _settings(
    network: Backbone, recording: RecordingOptions, window: float, hop: float
) -> WindowSettings:
    """Return the settings of the windows; print their grid if it is not the one that was asked."""
    from earmark.embeddings.window_settings import WindowSettings

    settings = WindowSettings.on_grid(network, recording.audio(), window, hop)
    if (settings.window_s, settings.hop_s) != (window, hop):
        say(
            f"note: windows of {settings.window_s:g} s every {settings.hop_s:g} s, which the frames"
            f" of {network.info.name} allow"
        )
    return settings


class _Run:
    """One run: what changed in the data set, what was computed, and what could not be read."""

    def __init__(
        self,
        writer: ArchiveWriter,
        listing: Listing,
        backbone: Backbone,
        settings: WindowSettings,
        recording: RecordingOptions,
    ) -> None:
        self.writer, self.listing, self.backbone = writer, listing, backbone
        self.settings, self.recording = settings, recording
        self.failures: list[Failure] = []
        self.warnings: list[str] = []
        self.changes: Changes
        self.network: ArchiveNetwork
        self.damaged: list[str] = []
        self.computed = self.windows = 0
        self.computed_s = self.elapsed_s = 0.0

    def compute(self, is_thorough: bool, on: str | None, engine: EngineOptions) -> None:
        """List the recordings, then compute the windows that are missing."""
        writer, listing = self.writer, self.listing
        self.network = network = writer.network(self.settings)
        self._name_others()
        dataset = writer.recordings.dataset(listing.key, listing.folder, listing.name)
        self.changes = writer.recordings.note(dataset, listing.recordings)
        self.damaged = writer.drop_damaged(network, is_thorough)
        for path in self.damaged:
            say(f"warning: {path} is missing or damaged; its recordings are computed again")
        writer.tidy(network)
        tasks = writer.recordings.tasks(dataset, network, listing.recordings)
        self.computed = len(tasks)
        changed = self._index(tasks, on if tasks else None, engine)
        self.windows = sum(rows for _, rows in writer.part_files(network))
        self._note_problems(writer.recordings.problems(dataset, network))
        self._note_problems([(task.path, CHANGED, True) for task in changed])

    def _index(self, tasks: list[Task], on: str | None, engine: EngineOptions) -> list[Task]:
        """Compute the windows of tasks; return the recordings that changed meanwhile."""
        from earmark.embeddings.indexing import Indexer
        from earmark.embeddings.pass_workers import Job, PassWorkers

        backbone, options = self.backbone, self.recording.audio()
        seconds = [_header_s(task.clip) for task in tasks]
        with executors.executor_on(on, True) as executor, hours_bar("indexing", seconds) as hours:
            workers = None
            if executor is not None:
                job = Job(backbone.info.name, engine.precision, engine.engine, self.settings)
                workers = PassWorkers(executor, job, backbone)
            indexer = Indexer(
                self.writer, self.network, backbone, self.settings, options, hours.advance, workers
            )
            indexer.compute(tasks)
            indexer.finish_vectors()
            self.computed_s, self.elapsed_s = hours.computed_s, hours.elapsed_s
        return indexer.changed

    def _name_others(self) -> None:
        """Say if the archive has windows of another version or grid of the same backbone."""
        for other in self.writer.others(self.network):
            if other.backbone == self.network.backbone:
                say(
                    f"note: the archive also has {other.name} with other weights, options or"
                    " another grid; this run adds a second network beside it"
                )
                return

    def _note_problems(self, problems: list[tuple[str, str, bool]]) -> None:
        from earmark.data.clip import Clip
        from earmark.embeddings.stages import Failure
        from earmark.system.objects import is_uri

        for path, reason, is_error in problems:
            place = path if is_uri(path) else os.path.join(self.listing.folder, path)
            if is_error:
                self.failures.append(Failure(Clip(place), reason))  # type: ignore[arg-type]
            else:
                self.warnings += [f"{place}: {text}" for text in reason.splitlines()]

    def lines(self) -> list[str]:
        """Return what was done, for people."""
        changes = asdict(self.changes)
        words = [f"{n:,} {what}" for what, n in changes.items() if n and what != "same"]
        recordings = amount(len(self.listing.recordings), "recording")
        text = f"{recordings} ({', '.join(words) or 'nothing new'}), {self.windows:,} windows of"
        text += f" {self.network.name} -> {self.writer.path}"
        if self.computed_s:
            speed = self.computed_s / max(self.elapsed_s, 1e-9)
            text += f"; computed {span_text(self.computed_s)} of audio, {speed:.0f} x real time"
        return [text]

    def json(self) -> dict[str, Any]:
        """Return the object that ``index --json`` prints."""
        return {
            "archive": str(self.writer.path),
            "backbone": self.network.backbone,
            "window_s": self.network.window_s,
            "hop_s": self.network.hop_s,
            "recordings": len(self.listing.recordings),
            **asdict(self.changes),
            "computed": self.computed,
            "windows": self.windows,
            "damaged": self.damaged,
            "seconds": round(self.computed_s, 3),
            "skipped": skipped(self.failures),
            "warnings": self.warnings,
        }


def _header_s(clip: Clip) -> float:
    """Return the length of a recording by its header; 0 if unknown or elsewhere."""
    from earmark.audio.reading import header_of

    if clip.is_remote:
        return 0.0
    try:
        header = header_of(clip.source)
    except (AudioError, EarmarkError):
        return 0.0
    return header.frames / header.rate_hz
