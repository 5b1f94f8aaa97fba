"""``earmark label``: label windows of an archive in rounds, in the terminal or as a table."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Option

from earmark.apps.cli import signals
from earmark.apps.cli.checks import check_output
from earmark.apps.cli.label_tables import AskedOptions, TableOptions, TableWork
from earmark.apps.cli.label_text import standing_json
from earmark.apps.cli.options import ALLOW_REMOTE, JSON, LABELS
from earmark.apps.cli.search import ARCHIVE
from earmark.apps.cli.text import print_json, say, show
from earmark.errors import EarmarkError, some

if TYPE_CHECKING:
    from earmark.embeddings.archive import Archive
    from earmark.labelling.labels import LabelFile


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
    if labels is not None:
        check_output(labels)
    if asked.name is None and (table.output is not None or not table.is_given):
        raise EarmarkError("--class is missing. Give the class to label windows of.")
    from earmark.embeddings.archive_file import check_archive

    check_archive(archive)
    from earmark.data.clip import bare
    from earmark.embeddings.archive import Archive
    from earmark.labelling.labels import LabelFile, labels_of

    asked = asked if asked.name is None else replace(asked, name=bare(asked.name))
    file = LabelFile(labels or labels_of(archive), who)
    result: dict[str, Any] = {
        "archive": str(archive),
        "class": asked.name,
        "labels": str(file.path),
    }
    with Archive(archive) as opened:
        notes = _notes_on_gone(opened, file)
        if table.is_given:
            command = ["earmark", "label", str(archive)]
            command += [] if labels is None else ["--labels", str(labels)]
            command += [] if asked.name is None else ["--class", asked.name]
            command += [] if asked.backbone is None else ["--backbone", asked.backbone]
            command += [] if who is None else ["--who", who]
            tell = say if as_json else show
            work = TableWork(opened, file, asked, table, allow_remote, tell, tuple(command))
            result |= work.run()
        else:
            result |= _ask(opened, asked, file, allow_remote, as_json)
    if as_json:
        print_json({**result, "notes": [*notes, *result["notes"]]})


def _notes_on_gone(archive: Archive, file: LabelFile) -> list[str]:
    """Name recordings that are gone and have answers, which are kept."""
    gone = {recording.place for recording in archive.recordings() if recording.is_gone}
    places = {decision.place for decision in file.read().decisions} if gone else set()
    own = sorted(gone & places)
    if not own:
        return []
    verb = "is" if len(own) == 1 else "are"
    note = f"{some(own, 'recording')} {verb} gone. The answers are kept."
    say(f"note: {note}")
    return [note]


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
