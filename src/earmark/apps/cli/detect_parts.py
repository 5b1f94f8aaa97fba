"""``earmark detect`` into a folder of parts, and the table of all events."""

from __future__ import annotations

import functools
import os
from array import array
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from earmark.apps.cli.checks import check_folder
from earmark.apps.cli.detect_options import Repeatable, RuleOptions
from earmark.apps.cli.options import ClassifierOptions, InputOptions
from earmark.apps.cli.part_options import PartOptions
from earmark.apps.cli.part_runs import FolderRun, PartTask, compute_folder, root_of
from earmark.apps.cli.text import report_skipped, say, warn_of
from earmark.embeddings import shares
from earmark.embeddings.shares import ALL
from earmark.errors import amount

if TYPE_CHECKING:
    from earmark.classifier.classifier import Classifier
    from earmark.data.blocks import Block, ClipBlocks
    from earmark.data.event import RecordingEvents

TABLE = "events.csv"  # in a folder of parts


def detect_parts(
    trained: ClassifierOptions,
    model: Path,
    inputs: InputOptions,
    rules: RuleOptions,
    output: Path,
    timezone: str | None,
    parts: PartOptions,
    as_json: bool,
) -> None:
    """Compute the missing parts of a share; with all parts, write the table of events."""
    from earmark.data.clock import zone_of

    if timezone is not None:
        zone_of(timezone)
    parts.load()
    check_folder(output, model, *inputs.paths)
    clips = inputs.blocks(shares.PART_CLIPS, trained.allow_remote)
    how = {"model": os.path.abspath(model), "allow_remote": trained.allow_remote}
    task = PartTask(
        "detect",
        how | {"threshold": rules.threshold, "rules": rules.changes},
        inputs.paths[0],
        root_of(inputs.paths[0], inputs.root),
        functools.partial(_blocks, clips),
        lambda _: 0,
    )
    run = compute_folder(task, output, parts)
    from earmark.detection.detecting import NO_DETECTOR

    classifier = _classifier(run)
    warn_of(model, classifier.estimate.warning)
    warn_of(model, None if classifier.detector is not None else NO_DETECTOR)
    lines, table = [], None
    if run.share == ALL:
        found = _Found(run, timezone)
        table = found.write(output / TABLE)
        lines = [f"{amount(found.count, 'event')}: {table}"] if table else []
    more = {"model": str(model), "events": str(table) if table else None}
    failures = run.finish(as_json, lines, **more)
    report_skipped(failures)
    inputs.finish(len(failures))


def _blocks(clips: ClipBlocks, wanted: Container[int]) -> Iterator[Block]:
    """Yield the blocks of recordings with ``wanted`` numbers."""
    from earmark.detection.detect_work import blocks_of_recordings

    rows = (clip for _, block in clips.blocks(ALL) for clip in block)
    return (block for block in blocks_of_recordings(rows) if block[0] in wanted)


def _classifier(run: FolderRun) -> Classifier:
    from earmark.detection.detect_work import DetectWork

    assert isinstance(run.work, DetectWork)
    return run.work.settings.detector.scorer.classifier


@dataclass
class _Found:
    """The events in the parts of a run."""

    run: FolderRun
    timezone: str | None
    count: int = 0
    places: array[int] = field(default_factory=lambda: array("q"))  # hashes of their paths

    def write(self, path: Path) -> Path | None:
        """Write the table of all events; None if no recording could be read."""
        import numpy as np

        from earmark.data.event_files import write_events

        if all(summary.failures == summary.clips for summary in self.run.done.summaries):
            say(f"no recording could be read, so {path} was not written")
            return None
        write_events(Repeatable(self._recordings), path, "csv")
        if several := len(self.places) - len(np.unique(np.array(self.places))):
            say(
                f"note: rows of one recording with other rows between them are searched apart, so"
                f" {path} has {amount(several, 'recording')} more than once; sort the manifest by"
                " recording to join them"
            )
        return path

    def _recordings(self) -> Iterator[RecordingEvents]:
        from earmark.data.clock import begins_at
        from earmark.detection.detect_work import COLUMNS, recordings_of

        self.count = 0
        self.places = array("q")
        labels = _classifier(self.run).labels
        for clips, table in self.run.tables(COLUMNS):
            for recording in recordings_of(table, clips, labels):
                self.count += len(recording.events)
                self.places.append(hash(recording.path))
                begins = begins_at(recording.path, self.timezone)
                yield replace(recording, begins_at=begins)
