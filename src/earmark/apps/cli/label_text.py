"""What ``earmark label`` says of proposals and of the standing, for people and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.errors import amount

if TYPE_CHECKING:
    from earmark.labelling.rounds import Interval, Proposal, Standing

WHY = {"sure": "likely", "uncertain": "uncertain", "random": "drawn at random"}


def proposal_text(proposal: Proposal, number: int, count: int) -> str:
    """Return the line of a proposal, which is number ``number`` of ``count``."""
    recording = proposal.recording
    columns = "".join(f"  {name}={text}" for name, text in recording.columns.items())
    span = f"{proposal.start:.2f}..{proposal.end:.2f} s"
    why = WHY[proposal.why]
    return f"{number:>3}/{count}  {proposal.score:.3f}  {recording.place}  {span}{columns}  ({why})"


def standing_text(standing: Standing, name: str, file: Path) -> list[str]:
    """Return the lines of a standing."""
    counts = f"{standing.positives:,} yes, {standing.negatives:,} no"
    lines = [f"{amount(standing.answers, 'answer')} on {name!r} ({counts}) in {file}"]
    if standing.precision is not None:
        lines.append(
            f"Of the windows that score {standing.threshold:.2f} or more,"
            f" {_percent(standing.precision)} are {name!r}."
        )
    if standing.total is not None:
        lines.append(f"The archive has about {_windows(standing.total)} of {name!r}.")
    if standing.unseen is not None:
        lines.append(f"Not found yet: about {_windows(standing.unseen)}.")
    return [*lines, standing.advice]


def _percent(share: Interval) -> str:
    value, low, high = (round(100 * x) for x in (share.value, share.low, share.high))
    return f"{value} % ({low} to {high} %)"


def _windows(count: Interval) -> str:
    value, low, high = (round(x) for x in (count.value, count.low, count.high))
    return f"{amount(value, 'window')} ({low:,} to {high:,})"


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
        "precision": _interval_json(standing.precision),
        "total": _interval_json(standing.total),
        "unseen": _interval_json(standing.unseen),
        "advice": standing.advice,
    }


def _interval_json(interval: Interval | None) -> dict[str, float] | None:
    if interval is None:
        return None
    return {"value": interval.value, "low": interval.low, "high": interval.high}
