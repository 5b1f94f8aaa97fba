"""What ``earmark label`` says of proposals and of the standing, for people and as JSON."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.apps.cli.text import say
from earmark.errors import amount, some
from earmark.system.objects import is_uri

if TYPE_CHECKING:
    from earmark.labelling.estimates import Interval
    from earmark.labelling.rounds import Proposal
    from earmark.labelling.standing import Standing

WHY = {"sure": "likely", "uncertain": "uncertain", "random": "drawn at random"}


def present(proposals: Iterable[Proposal]) -> list[Proposal]:
    """Return the proposals whose recordings are still there; name the others."""
    gone: dict[str, None] = {}
    own: list[Proposal] = []
    for proposal in proposals:
        place = proposal.recording.place
        if is_uri(place) or os.path.exists(place):
            own.append(proposal)
        else:
            gone[place] = None
    if gone:
        verb = "is" if len(gone) == 1 else "are"
        say(
            f"note: {some(list(gone), 'recording')} {verb} gone, and not asked about. Run `earmark"
            " index` again."
        )
    return own


def proposal_text(proposal: Proposal, number: int, count: int) -> str:
    """Return the line of a proposal, which is number ``number`` of ``count``."""
    recording = proposal.recording
    columns = "".join(f"  {name}={text}" for name, text in recording.columns.items())
    span = f"{proposal.start:.2f}..{proposal.end:.2f} s"
    why = WHY[proposal.why]
    return f"{number:>3}/{count}  {proposal.score:.3f}  {recording.place}  {span}{columns}  ({why})"


def standing_text(standing: Standing, name: str, file: Path) -> list[str]:
    """Return the lines of a standing."""
    n_windows = standing.positives + standing.negatives
    kinds = f"{standing.positives:,} yes, {standing.negatives:,} no"
    found = f"{amount(standing.found, 'window')} without an answer"
    verb = "scores" if standing.found == 1 else "score"
    found += f" {verb} {standing.threshold:.2f} or more"
    if standing.found and standing.precision is not None:
        found += f"; {_percent(standing.precision)} of them are {name!r}"
    elif standing.found:
        found += f"; how many of them are {name!r} is not known yet"
    lines = [
        f"{amount(standing.answers, 'answer')} on {name!r} in {file}"
        f" {'covers' if standing.answers == 1 else 'cover'} {amount(n_windows, 'window')} of the"
        f" archive: {kinds}",
        f"{found}.",
    ]
    if standing.unseen is not None and standing.total is not None:
        lines.append(
            f"Not heard yet: about {_events(standing.unseen)} of {name!r}; in all about"
            f" {_events(standing.total)}."
        )
    return [*lines, standing.advice]


def _percent(share: Interval) -> str:
    value, low, high = (round(100 * x) for x in (share.value, share.low, share.high))
    return f"{value} % ({low} to {high} %)"


def _events(count: Interval) -> str:
    value, low, high = (round(x) for x in (count.value, count.low, count.high))
    return f"{amount(value, 'event')} ({low:,} to {high:,})"


def proposal_json(proposal: Proposal) -> dict[str, Any]:
    """Return a proposal as ``label -o --json`` prints it."""
    recording = proposal.recording
    return {
        "path": recording.place,
        "start": proposal.start,
        "end": proposal.end,
        "score": proposal.score,
        "why": proposal.why,
        "chance": proposal.chance,
        "dataset": recording.dataset,
        "columns": dict(recording.columns),
    }


def standing_json(standing: Standing) -> dict[str, Any]:
    """Return a standing as ``label --json`` prints it."""
    return {
        "answers": standing.answers,
        "positives": standing.positives,
        "negatives": standing.negatives,
        "threshold": standing.threshold,
        "found": standing.found,
        "precision": standing.precision and interval_json(standing.precision),
        "total": standing.total and interval_json(standing.total),
        "unseen": standing.unseen and interval_json(standing.unseen),
        "advice": standing.advice,
        "is_enough": standing.is_enough,
    }


def interval_json(interval: Interval, unit: float = 1.0) -> dict[str, Any]:
    """Return an estimate and its 95 % interval as JSON has it, in multiples of ``unit``."""
    return {
        "value": interval.value / unit,
        "ci95": [interval.low / unit, interval.high / unit],
    }
