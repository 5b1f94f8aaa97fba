"""``earmark label``: label windows of an archive in rounds, in the terminal or as a table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Option

from earmark.apps.cli import signals
from earmark.apps.cli.checks import check_folder, check_output
from earmark.apps.cli.label_text import proposal_json, standing_json, standing_text
from earmark.apps.cli.options import ALLOW_REMOTE, CLIPS, JSON, MARGIN
from earmark.apps.cli.search import ARCHIVE, LIKE, NETWORK, WHERE, check_example
from earmark.apps.cli.text import print_json, say, show
from earmark.errors import AudioError, EarmarkError, amount

if TYPE_CHECKING:
    from earmark.embeddings.archive import Archive
    from earmark.labelling.labels import LabelFile
    from earmark.labelling.rounds import LabelRound, LabelSession, Proposal

LABELS = Option(
    None, help="The file of labels of an archive; by default labels.csv in the archive."
)
GROUP = Option(
    None, help="Column with a group, such as speaker or site; a group stays in one fold."
)


@dataclass(frozen=True, kw_only=True)
class AskedOptions:
    """The class, and which windows are proposed for it."""

    name: str | None = Option(None, "--class", help="The class to label windows of.")
    like: list[str] = Option([], help=LIKE)
    group: str | None = GROUP
    where: list[str] = WHERE
    backbone: str | None = NETWORK
    count: int = Option(12, min=1, help="The most windows of a round.")

    def session(self, archive: Archive, file: LabelFile, allow_remote: bool) -> LabelSession:
        """Return what proposes windows of the class."""
        from earmark.labelling.conditions import Condition
        from earmark.labelling.example import Example
        from earmark.labelling.rounds import LabelSession

        assert self.name is not None
        examples = [Example.parse(text) for text in self.like]
        for example in examples:
            check_example(example, allow_remote)
        return LabelSession(
            archive,
            self.name,
            file,
            network=archive.network(self.backbone),
            group=self.group,
            where=[Condition.parse(text) for text in self.where],
            examples=examples,
            allow_remote=allow_remote,
        )


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Tables that are written and read instead of questions in the terminal."""

    output: Path | None = Option(
        None, "-o", "--output", help="Write a round as a table to fill in, and end: .csv."
    )
    clips: Path | None = CLIPS
    margin: float = MARGIN
    apply: Path | None = Option(
        None, help="Take the answers of this filled-in table, which `label` or `review` wrote."
    )
    new: list[str] = Option([], help="A class of the table that has no label yet; repeat it.")
    manifest: Path | None = Option(
        None, help="Write the labelled windows as a manifest of clips, to train on."
    )

    @property
    def is_given(self) -> bool:
        """Whether there is a table, so that nothing is asked in the terminal."""
        return (self.output, self.apply, self.manifest) != (None, None, None)

    def check(self, archive: Path) -> None:
        """Refuse options that need another one, and outputs that cannot be written."""
        if self.clips is not None and self.output is None:
            raise EarmarkError("--clips needs -o ROUND.csv. Add it.")
        if self.margin and self.clips is None:
            raise EarmarkError("--margin needs --clips. Add it.")
        if self.new and self.apply is None:
            raise EarmarkError("--new needs --apply. Add it.")
        for path in (self.output, self.manifest):
            if path is None:
                continue
            if path.suffix != ".csv":
                raise EarmarkError(f"{path} must be a table of CSV. Give a name that ends in .csv.")
            check_output(path, *([self.apply] if self.apply else []))
        if self.output is not None and self.output.exists():
            raise EarmarkError(
                f"{self.output} already exists and may have answers. Name a new file, or delete"
                " this one."
            )
        check_folder(self.clips, archive)


def label(
    *,
    archive: Path = ARCHIVE,
    asked: AskedOptions,
    labels: Path | None = LABELS,
    who: str | None = Option(None, help="The person who answers; by default the user's name."),
    table: TableOptions,
    allow_remote: bool = ALLOW_REMOTE,
    as_json: bool = JSON,
) -> None:
    """Label windows of an archive: rounds of the likeliest, the most uncertain and random ones.

    Each window is shown, and played if this machine has a player: y, n, s to skip, u to undo, r to
    play it again, q to quit, or the name of another class. Each answer is kept at once.
    """
    table.check(archive)
    if asked.name is None and (table.output is not None or not table.is_given):
        raise EarmarkError("--class is missing. Give the class to label windows of.")
    from earmark.embeddings.archive_file import check_archive

    check_archive(archive)
    from earmark.embeddings.archive import Archive
    from earmark.labelling.labels import LabelFile, labels_of

    file = LabelFile(labels or labels_of(archive), who)
    result: dict[str, Any] = {
        "archive": str(archive),
        "class": asked.name,
        "labels": str(file.path),
    }
    with Archive(archive) as opened:
        if table.is_given:
            result |= _use_tables(opened, asked, table, file, allow_remote, as_json)
        else:
            result |= _ask(opened, asked, file, allow_remote, as_json)
    if as_json:
        print_json(result)


def _ask(
    archive: Archive, asked: AskedOptions, file: LabelFile, allow_remote: bool, as_json: bool
) -> dict[str, Any]:
    """Ask in the terminal, and return the standing at the end as JSON."""
    from earmark.apps.cli.label_rounds import Dialogue, player_or_note

    file.check()
    signals.goes_on()
    session = asked.session(archive, file, allow_remote)
    assert asked.name is not None
    dialogue = Dialogue(session, asked.name, file, asked.count, None, allow_remote, as_json)
    with player_or_note() or contextlib.nullcontext() as dialogue.player:
        dialogue.run()
    standing = {} if dialogue.standing is None else standing_json(dialogue.standing)
    return {**standing, "notes": dialogue.notes}


def _use_tables(
    archive: Archive,
    asked: AskedOptions,
    table: TableOptions,
    file: LabelFile,
    allow_remote: bool,
    as_json: bool,
) -> dict[str, Any]:
    """Take answers, write a round and write a manifest, as the options say; return the JSON."""
    result: dict[str, Any] = {"notes": []}
    tell = say if as_json else show
    if table.apply is not None:
        result |= _apply(archive, asked, table, file, tell)
    current: LabelRound | None = None
    if asked.name is not None:
        try:
            current = asked.session(archive, file, allow_remote).next_round(asked.count)
        except EarmarkError as error:
            if table.output is not None:
                raise
            say(f"note: {error}")
    if current is not None:
        for note in current.notes:
            say(f"note: {note}")
        tell(*standing_text(current.standing, str(asked.name), file.path))
        result |= {**standing_json(current.standing), "notes": list(current.notes)}
    if table.output is not None:
        assert current is not None
        _write_round(current.proposals, archive, asked, table, allow_remote, tell)
        proposals = [proposal_json(proposal) for proposal in current.proposals]
        result |= {"round": str(table.output), "proposals": proposals}
    if table.manifest is not None:
        result |= _write_manifest(archive, asked, table.manifest, file, allow_remote, tell)
    return result


def _apply(
    archive: Archive, asked: AskedOptions, table: TableOptions, file: LabelFile, tell: Any
) -> dict[str, Any]:
    """Take the answers of a filled-in table."""
    from earmark.labelling.importing import import_answers

    assert table.apply is not None
    file.check()
    signals.goes_on()
    places = {recording.place for recording in archive.recordings()}
    classes = [*table.new, *([asked.name] if asked.name else [])]
    done = import_answers(file, table.apply, places, classes)
    known = f", {done.known:,} of it were there before" if done.known else ""
    tell(f"{amount(done.taken, 'answer')} of {table.apply} -> {file.path}{known}")
    if done.empty:
        tell(f"{amount(done.empty, 'row')} without an answer")
    if done.elsewhere:
        say(f"note: {amount(done.elsewhere, 'answer')} on recordings that the archive has not")
    return {"taken": done.taken, "known": done.known, "empty": done.empty}


def _write_round(
    proposals: Sequence[Proposal],
    archive: Archive,
    asked: AskedOptions,
    table: TableOptions,
    allow_remote: bool,
    tell: Any,
) -> None:
    """Write proposals as a table to fill in, and their clips."""
    from earmark.labelling.decisions import Decision, write_decisions

    assert table.output is not None and asked.name is not None
    table.output.parent.mkdir(exist_ok=True)
    decisions = (
        Decision(
            place=proposal.recording.place,
            start=proposal.start,
            end=proposal.end,
            suggested=str(asked.name),
            evidence=proposal.score,
            chance=proposal.chance,
        )
        for proposal in proposals
    )
    write_decisions(table.output, decisions)
    if table.clips is not None:
        _cut(proposals, asked.name, table.clips, table.margin, allow_remote)
    import shlex

    apply = ["earmark", "label", str(archive.path), "--class", asked.name]
    apply += ["--apply", str(table.output)]
    tell(
        f"{amount(len(proposals), 'window')} -> {table.output}; fill in the column decision (yes,"
        f" no, skip or a class), then run:  {shlex.join(apply)}"
    )


def _cut(
    proposals: Iterable[Proposal], name: str, folder: Path, margin: float, allow_remote: bool
) -> None:
    """Cut the windows out, to listen to them."""
    import os

    from earmark.data.event import Event, RecordingEvents
    from earmark.detection.event_clips import clip_stems, cut_events
    from earmark.system.objects import is_uri

    by_place: dict[str, list[Proposal]] = {}
    for proposal in proposals:
        by_place.setdefault(proposal.recording.place, []).append(proposal)
    root = os.path.commonpath([os.path.dirname(os.path.abspath(place)) for place in by_place])
    count = 0
    for (place, own), stem in zip(
        by_place.items(), clip_stems(list(by_place), Path(root)), strict=True
    ):
        if is_uri(place) and not allow_remote:
            say(f"no clip of {place}: it is elsewhere; give --allow-remote to fetch it")
            continue
        events = sorted(Event(p.start, p.end, name, min(1.0, max(0.0, p.score))) for p in own)
        seconds = own[0].recording.seconds or max(p.end for p in own)
        try:
            cut_events(RecordingEvents(place, seconds, tuple(events)), folder, stem, margin)
            count += len(own)
        except AudioError as error:
            say(f"no clip of {error}")
    say(f"{amount(count, 'clip')} -> {folder}")


def _write_manifest(
    archive: Archive,
    asked: AskedOptions,
    path: Path,
    file: LabelFile,
    allow_remote: bool,
    tell: Any,
) -> dict[str, Any]:
    """Write the labelled windows as a manifest that ``earmark train`` reads."""
    from earmark.labelling.labelled import labelled_dataset

    dataset = labelled_dataset(
        archive.path, file.path, asked.group, allow_remote=allow_remote, to_train=False
    )
    for note in dataset.notes:
        say(f"note: {note}")
    path.parent.mkdir(exist_ok=True)
    dataset.to_manifest(path)
    tell(f"{amount(len(dataset), 'clip')} -> {path}")
    if dataset.separator:
        say(f"add --separator {dataset.separator!r} to commands that read {path}")
    return {"manifest": str(path), "clips": len(dataset), "separator": dataset.separator}
