"""The tables of ``earmark label``: a round to fill in, its answers, and the labels so far."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Option

from earmark.apps.cli import signals
from earmark.apps.cli.checks import check_folder, check_output
from earmark.apps.cli.label_text import present, proposal_json, standing_json, standing_text
from earmark.apps.cli.options import APPLY, CLIPS, GROUP, MARGIN
from earmark.apps.cli.search import LIKE, NETWORK, WHERE, check_example, cut_clips, events_of
from earmark.apps.cli.text import say
from earmark.errors import EarmarkError, amount

if TYPE_CHECKING:
    from earmark.data.dataset import Dataset
    from earmark.embeddings.archive import Archive
    from earmark.labelling.labels import LabelFile
    from earmark.labelling.rounds import LabelRound, LabelSession, Proposal


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
    apply: Path | None = APPLY
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


@dataclass(frozen=True)
class TableWork:
    """Takes answers, writes a round and writes a manifest, as the options say.

    Attributes
    ----------
    archive : Archive
    file : LabelFile
        The labels of the archive.
    asked : AskedOptions
    table : TableOptions
    allow_remote : bool
    tell : callable
        Prints lines: ``show``, or ``say`` if standard output is for JSON.
    command : tuple of str
        How the command was typed, up to the class, for the next one.
    """

    archive: Archive
    file: LabelFile
    asked: AskedOptions
    table: TableOptions
    allow_remote: bool
    tell: Callable[..., None]
    command: tuple[str, ...]

    def run(self) -> dict[str, Any]:
        """Do all, and return what is printed as JSON."""
        result = {} if self.table.apply is None else self._apply(self.table.apply)
        notes = list[str]()
        current = self._round()
        if current is not None:
            notes += current.notes
            self.tell(*standing_text(current.standing, str(self.asked.name), self.file.path))
            result |= standing_json(current.standing)
            if self.table.output is not None:
                proposals = present(current.proposals)
                self._write_round(proposals, self.table.output)
                result |= {"round": str(self.table.output)}
                result["proposals"] = [proposal_json(proposal) for proposal in proposals]
        if self.table.manifest is not None:
            dataset = self._write_manifest(self.table.manifest)
            notes += [note for note in dataset.notes if note not in notes]
            result |= {"manifest": str(self.table.manifest), "clips": len(dataset)}
            result["separator"] = dataset.separator
        for note in notes:
            say(f"note: {note}")
        return {**result, "notes": notes}

    def _apply(self, path: Path) -> dict[str, Any]:
        """Take the answers of a filled-in table."""
        from earmark.labelling.importing import import_answers

        self.file.check()
        signals.goes_on()
        places = {recording.place for recording in self.archive.recordings()}
        places |= self.archive.former_places().keys()
        classes = [*self.table.new, *([self.asked.name] if self.asked.name else [])]
        done = import_answers(self.file, path, places, classes)
        known = f" ({done.known:,} more were there before)" if done.known else ""
        self.tell(f"{amount(done.taken, 'new answer')} of {path} -> {self.file.path}{known}")
        if done.empty:
            self.tell(f"{amount(done.empty, 'row')} without an answer")
        if done.elsewhere:
            say(f"note: {amount(done.elsewhere, 'answer')} on recordings not in the archive")
        return {"taken": done.taken, "known": done.known, "empty": done.empty}

    def _round(self) -> LabelRound | None:
        """Return the next round; None without a class, or if only its standing is missing."""
        if self.asked.name is None:
            return None
        try:
            session = self.asked.session(self.archive, self.file, self.allow_remote)
            return session.next_round(self.asked.count)
        except EarmarkError as error:
            if self.table.output is not None:
                raise
            say(f"note: {error}")
            return None

    def _write_round(self, proposals: Sequence[Proposal], path: Path) -> None:
        """Write proposals as a table to fill in, and their clips."""
        from earmark.labelling.decisions import Decision, write_decisions

        path.parent.mkdir(exist_ok=True)
        decisions = (
            Decision(
                place=proposal.recording.place,
                start=proposal.start,
                end=proposal.end,
                suggested=str(self.asked.name),
                evidence=proposal.score,
                chance=proposal.chance,
                content=proposal.recording.digest,
            )
            for proposal in proposals
        )
        write_decisions(path, decisions)
        if self.table.clips is not None and proposals:
            events = events_of(proposals, str(self.asked.name))
            cut_clips(events, self.table.clips, self.table.margin, self.allow_remote)
        apply = shlex.join([*self.command, "--apply", str(path)])
        self.tell(
            f"{amount(len(proposals), 'window')} -> {path}; fill in the column decision (yes, no,"
            f" skip or a class), then run:  {apply}"
        )

    def _write_manifest(self, path: Path) -> Dataset:
        """Write the labelled windows as a manifest that ``earmark train`` reads."""
        from earmark.labelling.labelled import labelled_dataset

        dataset = labelled_dataset(
            self.archive.path,
            self.file.path,
            self.asked.group,
            allow_remote=self.allow_remote,
            to_train=False,
        )
        path.parent.mkdir(exist_ok=True)
        dataset.to_manifest(path)
        self.tell(f"{amount(len(dataset), 'clip')} -> {path}")
        if dataset.separator:
            say(f"add --separator {dataset.separator!r} to commands that read {path}")
        return dataset
