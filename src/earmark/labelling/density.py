"""How many events of a class an archive has, from a sample that is drawn by strata of score.

The windows are those of the archive that do not overlap: every second one, if half a window lies
between two. The scores only divide them into strata; what is counted are the answers of people
(Navine, Denton, Weldy and Hart 2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from earmark.classifier.classifier import Classifier
from earmark.embeddings.archive import Archive
from earmark.errors import DataError, amount
from earmark.labelling.active import probability
from earmark.labelling.decisions import Decision, read_decisions, write_decisions
from earmark.labelling.density_estimate import Density, estimate
from earmark.labelling.density_frame import Frame
from earmark.labelling.density_sample import SampleSettings, settings_path
from earmark.labelling.sample_answers import Answers
from earmark.labelling.strata import allocate, edges_of, strata_of


def draw(
    archive: Archive, classifier: Classifier, label: str, path: Path, size: int, seed: int = 0
) -> tuple[int, list[int]]:
    """Draw a sample and write it as a table of decisions, with a file beside it.

    Parameters
    ----------
    archive, classifier, label
        The archive, and the class of the classifier that is counted.
    path : Path
        The table to write. Its rows are in random order, so the first ones are a sample, too.
    size : int
        About how many windows to draw.
    seed : int
        The same seed draws the same windows.

    Returns
    -------
    n_windows : int
        How many windows the sample was drawn from.
    drawn : list of int
        How many windows were drawn of each stratum, the highest scores first.

    Raises
    ------
    ModelError
        The archive has no windows that the classifier can score.
    DataError
        The archive has no window.
    """
    frame = Frame.of(archive, classifier, label)
    edges, rows, chances, counts = draw_rows(frame.scores, size, seed)
    last = max(frame.recordings)
    settings = SampleSettings(
        label=label, model=classifier.digest, network=frame.network, window_s=frame.window_s,
        hop_s=frame.hop_s, archive=archive.content_digest(last), last_content=last, seed=seed,
        edges=tuple(edges),
        drawn=tuple((int(frame.contents[row]), int(frame.numbers[row])) for row in rows.tolist()),
        recordings={frame.recordings[c].place: c for c in frame.contents[rows].tolist()},
    )  # fmt: skip
    decisions = [
        _asked(frame, row, label, chance)
        for row, chance in zip(rows.tolist(), chances.tolist(), strict=True)
    ]
    settings.write(path)
    write_decisions(path, decisions)
    return len(frame), counts[::-1].tolist()


def draw_rows(
    scores: np.ndarray, size: int, seed: int
) -> tuple[list[float], np.ndarray, np.ndarray, np.ndarray]:
    """Draw about ``size`` windows by strata of their ``scores`` (N,).

    Returns the edges of the strata, the rows that were drawn (n,) in random order, the chance of
    each (n,), and how many were drawn of each stratum, the lowest first.
    """
    edges = edges_of(scores)
    strata = strata_of(scores, edges)
    sizes = np.bincount(strata, minlength=len(edges) + 1)
    counts = allocate(sizes, size)
    rng = np.random.default_rng(seed)
    picks = [
        rng.choice(np.flatnonzero(strata == h), count, replace=False)
        for h, count in enumerate(counts.tolist())
    ]
    rows = rng.permutation(np.concatenate(picks))
    return edges, rows, (counts / np.maximum(sizes, 1))[strata[rows]], counts


def _asked(frame: Frame, row: int, label: str, chance: float | None) -> Decision:
    """Return the row of a table that asks for the class in one window."""
    recording = frame.recordings[int(frame.contents[row])]
    start = round(int(frame.numbers[row]) * frame.hop_s, 6)
    end = round(start + frame.window_s, 6)
    if recording.seconds is not None:
        end = min(end, round(recording.seconds, 6))
    evidence = float(probability(frame.scores[row]))
    return Decision(
        place=recording.place, start=start, end=end, suggested=label, evidence=evidence,
        chance=chance, content=recording.digest,
    )  # fmt: skip


def apply(
    archive: Archive,
    classifier: Classifier,
    path: Path,
    label: str | None = None,
    group: str | None = None,
    *,
    before: Path | None = None,
    ask: Path | None = None,
) -> Density:
    """Estimate windows and events from a table that :func:`draw` wrote and people answered.

    Parameters
    ----------
    archive, classifier
        Those of the drawing.
    path : Path
        The table.
    label : str, optional
        The class; another one than that of the sample is refused.
    group : str, optional
        A column of the recordings, to estimate each of its values.
    before : Path, optional
        The answered table of ``ask``: events are then counted where they begin, whatever the scores
        of their neighbours are.
    ask : Path, optional
        Write the windows just before those with the class into this table, to be answered.

    Raises
    ------
    DataError
        The table is of another model, archive or class, or nothing was answered.
    """
    settings = SampleSettings.read(path)
    _check_same(archive, classifier, path, settings, label)
    label, frame = settings.label, _same_frame(archive, classifier, path, settings)
    answers = Answers.of(read_decisions(path), settings, frame.rows_of(settings.drawn))
    if not answers.verdicts:
        raise DataError(
            f"{path} has no answer that counts. Write yes or no into its column `decision`; skip or"
            f" nothing if you do not know.{''.join(f' {note}.' for note in answers.notes)}"
        )
    rows = _before(frame, answers.verdicts)
    notes = [*answers.notes, *_unanswered(answers.skipped), *_later(archive, settings)]
    earlier: dict[int, bool] = {}
    if ask is not None:
        write_decisions(ask, [_asked(frame, row, label, None) for row in rows])
    if before is not None:
        asked = tuple((int(frame.contents[row]), int(frame.numbers[row])) for row in rows)
        own = Answers.of(
            read_decisions(before), replace(settings, drawn=asked), np.array(rows, np.int64)
        )
        earlier, notes = own.verdicts, [*notes, *(f"{before}: {note}" for note in own.notes)]
    estimated = estimate(
        frame, settings.edges, answers.verdicts, settings.seed, group, before=earlier
    )
    notes += estimated.notes
    return replace(estimated, label=label, skipped=answers.skipped, notes=tuple(notes))


def _same_frame(
    archive: Archive, classifier: Classifier, path: Path, settings: SampleSettings
) -> Frame:
    """Return the windows of the drawing; refuse those of another network or length."""
    grid = settings.window_s, settings.hop_s
    frame = Frame.of(archive, classifier, settings.label, settings.last_content, grid)
    if (frame.network, (frame.window_s, frame.hop_s)) != (settings.network, grid):
        raise DataError(
            f"{path} was drawn from windows of {settings.network}, {settings.window_s:g} s, and the"
            f" archive has {frame.network}, {frame.window_s:g} s. Draw a new sample with -o."
        )
    return frame


def _before(frame: Frame, verdicts: Mapping[int, bool]) -> list[int]:
    """Return the rows just before windows with the class that were not answered, ascending."""
    hits = np.array([row for row, has in verdicts.items() if has], np.int64)
    return sorted({row for row in frame.before(hits).tolist() if row >= 0} - verdicts.keys())


def _unanswered(count: int) -> list[str]:
    if not count:
        return []
    return [
        f"{amount(count, 'window')} of the sample without an answer are left out. If these are the"
        " hard ones, the estimate is too sure."
    ]


def _check_same(
    archive: Archive,
    classifier: Classifier,
    path: Path,
    settings: SampleSettings,
    label: str | None,
) -> None:
    """Refuse a sample of another class, model or archive."""
    beside = settings_path(path).name
    if label not in (None, settings.label):
        raise DataError(
            f"{path} is a sample of {settings.label!r}, not of {label!r}. Leave --class out, or"
            " draw a new sample with -o."
        )
    if settings.model != classifier.digest:
        raise DataError(
            f"{path} was drawn with another model, as {beside} says. Give the model of the drawing,"
            " or draw a new sample with -o."
        )
    if settings.archive != archive.content_digest(settings.last_content):
        raise DataError(
            f"{path} was drawn from another archive than {archive.path}, as {beside} says. Give"
            " that archive, or draw a new sample with -o."
        )


def _later(archive: Archive, settings: SampleSettings) -> list[str]:
    """Return a note if recordings were added since the drawing."""
    later = {
        recording.content
        for recording in archive.recordings()
        if recording.content is not None and recording.content > settings.last_content
    }
    if not later:
        return []
    return [
        f"{amount(len(later), 'recording')} that came after the drawing are not counted. Draw a new"
        " sample with -o to count them, too."
    ]
