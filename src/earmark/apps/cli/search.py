"""``earmark search``: the stretches of an archive that sound like examples."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, Option

from earmark.apps.cli.checks import check_folder, check_output
from earmark.apps.cli.options import ALLOW_REMOTE, CLIPS, JSON_LINES, MARGIN
from earmark.apps.cli.text import JSON_SCHEMA, print_csv, print_json, say, show
from earmark.errors import AudioError, EarmarkError, amount

if TYPE_CHECKING:
    from earmark.data.event import RecordingEvents
    from earmark.embeddings.archive import Archive, ArchiveNetwork
    from earmark.labelling.conditions import Condition
    from earmark.labelling.example import Example
    from earmark.labelling.rounds import Proposal
    from earmark.labelling.searching import Stretch

ARCHIVE = Argument(metavar="ARCHIVE", help="The folder that `earmark index` wrote.")
LIKE = "A clip that sounds like what to find: CLIP or CLIP:START-END; repeat it."
WHERE = Option([], help="Only recordings whose column has this value: site=north, date>=2024-05.")
NETWORK = Option(None, help="The network to search with, if the archive has several: NAME.")
COLUMNS = ("path", "start", "end", "score", "windows", "is_gone", "dataset")


@dataclass(frozen=True, kw_only=True)
class FoundOptions:
    """How stretches are printed, and what is written for them."""

    as_json: bool = JSON_LINES
    as_csv: bool = Option(False, "--csv", help="Print CSV with a header line.")
    output: Path | None = Option(
        None, "-o", "--output", help="Write the stretches into this file: .csv or .jsonl."
    )
    tracks: Path | None = Option(
        None, help="Write a label track of Audacity for each recording into this folder."
    )
    clips: Path | None = CLIPS
    margin: float = MARGIN
    name: str = Option("found", help="The class of what was found, in label tracks and clips.")

    def check(self, archive: Path) -> None:
        """Refuse options that exclude each other, and outputs that cannot be written."""
        from earmark.data.event_files import check_label

        if self.as_json and self.as_csv:
            raise EarmarkError("--json and --csv exclude each other. Give only one.")
        if self.margin and self.clips is None:
            raise EarmarkError("--margin needs --clips. Add it.")
        if self.output is not None:
            if self.output.suffix not in (".csv", ".jsonl"):
                raise EarmarkError(
                    f"the suffix of {self.output} names no format. Give a file that ends in .csv"
                    " or .jsonl."
                )
            check_output(self.output)
        check_label(self.name, "audacity")
        for folder in (self.tracks, self.clips):
            check_folder(folder, archive)


def search(
    *,
    archive: Path = ARCHIVE,
    like: list[str] = Option(..., help=LIKE),
    unlike: list[str] = Option([], help="A clip of what not to find, in the same form."),
    top: int = Option(50, min=1, help="Number of stretches to list, nearest first."),
    per_recording: int | None = Option(
        None, min=1, help="The most stretches of one recording; by default as many as there are."
    ),
    where: list[str] = WHERE,
    backbone: str | None = NETWORK,
    found: FoundOptions,
    allow_remote: bool = ALLOW_REMOTE,
) -> None:
    """List the stretches of an archive that sound like examples, nearest first.

    All windows are compared. The score is a cosine: 1 is the same sound, 0 has nothing in common.
    """
    found.check(archive)
    from earmark.embeddings.archive_file import check_archive
    from earmark.labelling.conditions import Condition
    from earmark.labelling.example import Example

    check_archive(archive)
    conditions = [Condition.parse(text) for text in where]
    likes, unlikes = ([Example.parse(text) for text in texts] for texts in (like, unlike))
    for example in (*likes, *unlikes):
        check_example(example, allow_remote)
    from earmark.embeddings.archive import Archive

    with Archive(archive) as opened:
        network = opened.network(backbone)
        stretches = _search(
            opened, network, likes, unlikes, conditions, top, per_recording, allow_remote
        )
    _print(stretches, found)
    _write(stretches, found, allow_remote)
    gone = sum(stretch.recording.is_gone for stretch in stretches)
    if gone:
        say(f"note: {amount(gone, 'stretch')} in recordings that are gone")
    if not stretches:
        say("nothing was found")


def check_example(example: Example, allow_remote: bool) -> None:
    """Refuse an example that is not there, or that is elsewhere without permission."""
    from earmark.system.objects import is_uri

    if is_uri(example.place):
        if not allow_remote:
            raise EarmarkError(f"{example.place} is elsewhere. Give --allow-remote to fetch it.")
    elif not os.path.exists(example.place):
        raise EarmarkError(f"{example.place} does not exist. Give a recording as an example.")


def _search(
    archive: Archive,
    network: ArchiveNetwork,
    likes: Sequence[Example],
    unlikes: Sequence[Example],
    conditions: Sequence[Condition],
    top: int,
    per_recording: int | None,
    allow_remote: bool,
) -> list[Stretch]:
    from earmark.labelling.conditions import check_columns
    from earmark.labelling.searching import embed_example, load_network, query_of, search

    windows = archive.windows(network)
    check_columns(conditions, (r for own in windows.recordings.values() for r in own))
    loaded = load_network(network, allow_remote)
    try:
        query = query_of(windows, lambda x: embed_example(x, loaded, network), likes, unlikes)
    except AudioError as error:
        raise EarmarkError(f"the example cannot be used. {error}") from error
    return search(windows, query, top=top, per_recording=per_recording, where=conditions)


def stretch_json(stretch: Stretch) -> dict[str, Any]:
    """Return the object that ``search --json`` prints for one stretch."""
    recording = stretch.recording
    return {
        "path": recording.place,
        "start": stretch.start,
        "end": stretch.end,
        "score": stretch.score,
        "windows": stretch.windows,
        "is_gone": recording.is_gone,
        "dataset": recording.dataset,
        "columns": dict(recording.columns),
    }


def _rows(stretches: Sequence[Stretch]) -> list[list[str]]:
    """Return the header and a row for each stretch; columns of recordings come last."""
    names = list(dict.fromkeys(name for s in stretches for name in s.recording.columns))
    titles = [f"{name} (recording)" if name in COLUMNS else name for name in names]
    rows = [[*COLUMNS, *titles]]
    for stretch in stretches:
        value = stretch_json(stretch)
        times = [f"{value[name]:.3f}" for name in ("start", "end")]
        own = [value["path"], *times, f"{value['score']:.4f}", str(value["windows"])]
        own += ["yes" if value["is_gone"] else "no", value["dataset"]]
        rows.append(own + [value["columns"].get(name, "") for name in names])
    return rows


def _print(stretches: Sequence[Stretch], found: FoundOptions) -> None:
    if found.as_json:
        for stretch in stretches:
            print_json(stretch_json(stretch))
    elif found.as_csv:
        print_csv(_rows(stretches))
    else:
        show(*map(_line, stretches))


def _line(stretch: Stretch) -> str:
    recording = stretch.recording
    columns = "".join(f"  {name}={text}" for name, text in recording.columns.items())
    gone = "  (gone)" if recording.is_gone else ""
    span = f"{stretch.start:.2f}..{stretch.end:.2f} s"
    return f"{stretch.score:6.3f}  {recording.place}  {span}{columns}{gone}"


def _write(stretches: Sequence[Stretch], found: FoundOptions, allow_remote: bool) -> None:
    from earmark.system.files import write_whole
    from earmark.system.jsons import json_text
    from earmark.system.text import to_bytes, to_csv

    if found.output is not None:
        found.output.parent.mkdir(exist_ok=True)
        lines = [f"{json_text({'schema': JSON_SCHEMA, **stretch_json(s)})}\n" for s in stretches]
        text = to_csv(_rows(stretches)) if found.output.suffix == ".csv" else "".join(lines)
        write_whole(found.output, to_bytes(text))
        say(f"{amount(len(stretches), 'stretch')} -> {found.output}")
    if (found.tracks, found.clips) == (None, None) or not stretches:
        return
    recordings = events_of(stretches, found.name)
    if found.tracks is not None:
        from earmark.data.event_files import write_each

        root = _root(recordings)
        for recording in recordings:
            write_each(recording, found.tracks, "audacity", root)
        say(f"{amount(len(recordings), 'label track')} -> {found.tracks}")
    if found.clips is not None:
        cut_clips(recordings, found.clips, found.margin, allow_remote)


def events_of(found: Iterable[Stretch | Proposal], label: str) -> list[RecordingEvents]:
    """Return what was found, or is asked about, as events, recording by recording."""
    from earmark.data.event import Event, RecordingEvents

    def place(stretch: Stretch | Proposal) -> str:
        return stretch.recording.place

    recordings = []
    for path, own in itertools.groupby(sorted(found, key=place), key=place):
        several = list(own)
        events = [Event(s.start, s.end, label, min(1.0, max(0.0, s.score))) for s in several]
        seconds = several[0].recording.seconds or max(s.end for s in several)
        recordings.append(RecordingEvents(path, seconds, tuple(sorted(events))))
    return recordings


def _root(recordings: Iterable[RecordingEvents]) -> Path:
    folders = [os.path.dirname(os.path.abspath(recording.path)) for recording in recordings]
    return Path(os.path.commonpath(folders))


def cut_clips(
    recordings: Sequence[RecordingEvents], folder: Path, margin: float, allow_remote: bool
) -> None:
    """Cut the events out, with ``margin`` seconds around them, and say how many.

    Without permission, nothing is cut from recordings that must be fetched.
    """
    from earmark.detection.event_clips import clip_stems, cut_events
    from earmark.system.objects import is_uri

    count = 0
    stems = clip_stems([recording.path for recording in recordings], _root(recordings))
    for recording, stem in zip(recordings, stems, strict=True):
        if is_uri(recording.path) and not allow_remote:
            say(f"no clip of {recording.path}: it is elsewhere; give --allow-remote to fetch it")
            continue
        try:
            cut_events(recording, folder, stem, margin)
            count += len(recording.events)
        except AudioError as error:
            say(f"no clip of {error}")
    say(f"{amount(count, 'clip')} -> {folder}")
