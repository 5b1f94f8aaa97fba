"""How many events of a class an archive has, from a sample that is drawn by strata of score.

The windows are those of the archive that do not overlap: every second one, if half a window lies
between two. The scores only divide them into strata; what is counted are the answers of people
(Navine, Denton, Weldy and Hart 2024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earmark.classifier.classifier import Classifier
from earmark.embeddings.archive import Archive
from earmark.errors import DataError, amount
from earmark.labelling.conditions import cell_of, check_column
from earmark.labelling.decisions import Decision, read_decisions, write_decisions
from earmark.labelling.density_frame import Frame
from earmark.labelling.density_sample import SampleSettings, settings_path
from earmark.labelling.sample_answers import Answers
from earmark.labelling.strata import (
    Cell,
    Interval,
    allocate,
    count_events,
    count_windows,
    edges_of,
    run_lengths,
    strata_of,
)

LEAST_ANSWERED = 8  # of a cell of a group; strata with fewer are joined with those below
MOST_GROUPS = 200


@dataclass(frozen=True)
class StratumFigures:
    """What was answered of one stratum: windows with a score from ``low`` to ``high``."""

    low: float
    high: float
    windows: int
    answered: int
    hits: int


@dataclass(frozen=True)
class GroupDensity:
    """The windows and events of one group of recordings."""

    group: str
    windows: Interval
    events: Interval
    hours: float
    answered: int
    hits: int


@dataclass(frozen=True)
class Density:
    """How many windows and events of a class an archive has.

    Attributes
    ----------
    label : str
        The class.
    windows, events : Interval
        Windows with the class, and events: windows with the class that touch are one event. With
        95 % intervals.
    hours : float
        The hours that the windows stand for.
    n_windows : int
        The number of windows that do not overlap.
    window_s : float
        Their length in seconds.
    answered, skipped : int
        The windows of the sample that were answered, and those that were not.
    strata : tuple of StratumFigures
        The highest scores first.
    groups : tuple of GroupDensity
        By the values of a column, if one was named.
    notes : tuple of str
        What was left out, and why.
    """

    label: str
    windows: Interval
    events: Interval
    hours: float
    n_windows: int
    window_s: float
    answered: int
    skipped: int
    strata: tuple[StratumFigures, ...]
    groups: tuple[GroupDensity, ...] = ()
    notes: tuple[str, ...] = ()


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


def _asked(frame: Frame, row: int, label: str, chance: float) -> Decision:
    """Return the row of a table that asks for the class in one window."""
    recording = frame.recordings[int(frame.contents[row])]
    start = round(int(frame.numbers[row]) * frame.hop_s, 6)
    end = round(start + frame.window_s, 6)
    if recording.seconds is not None:
        end = min(end, round(recording.seconds, 6))
    evidence = float(_sigmoid(frame.scores[row]))
    return Decision(
        place=recording.place, start=start, end=end, suggested=label, evidence=evidence,
        chance=chance,
    )  # fmt: skip


def _sigmoid(x: float) -> float:
    return float(0.5 + 0.5 * np.tanh(0.5 * np.float64(x)))


def apply(
    archive: Archive,
    classifier: Classifier,
    path: Path,
    label: str | None = None,
    group: str | None = None,
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

    Raises
    ------
    DataError
        The table is of another model, archive or class, or nothing was answered.
    """
    settings = SampleSettings.read(path)
    _check_same(archive, classifier, path, settings, label)
    label = settings.label
    frame = Frame.of(archive, classifier, label, settings.last_content)
    if (frame.network, frame.window_s) != (settings.network, settings.window_s):
        raise DataError(
            f"{path} was drawn from windows of {settings.network}, {settings.window_s:g} s, and the"
            f" archive has {frame.network}, {frame.window_s:g} s. Draw a new sample with -o."
        )
    answers = Answers.of(read_decisions(path), settings, frame.rows_of(settings.drawn))
    if not answers.verdicts:
        raise DataError(
            f"no window of {path} is answered. Write yes or no into its column `decision`; skip or"
            " nothing if you do not know."
        )
    notes = (*answers.notes, *_later(archive, settings))
    estimated = estimate(frame, settings.edges, answers.verdicts, settings.seed, group)
    return replace(estimated, label=label, skipped=answers.skipped, notes=notes)


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


def estimate(
    frame: Frame,
    edges: Sequence[float],
    verdicts: Mapping[int, bool],
    seed: int = 0,
    group: str | None = None,
) -> Density:
    """Estimate windows and events from answers on some rows of a frame.

    ``edges`` are the log-odds between strata. The answers of each stratum must be a random sample.
    """
    work = _Estimate(frame, edges, verdicts, seed)
    windows = count_windows(work.cells(), seed)
    work.find_events()
    cells = work.cells()
    return Density(
        label="",
        windows=windows,
        events=count_events(cells, seed),
        hours=frame.hours(len(frame)),
        n_windows=len(frame),
        window_s=frame.window_s,
        answered=len(work.rows),
        skipped=0,
        strata=work.figures(cells),
        groups=() if group is None else work.groups(group),
    )


class _Estimate:
    """The answers of a sample, and the windows that they stand for."""

    def __init__(
        self, frame: Frame, edges: Sequence[float], verdicts: Mapping[int, bool], seed: int
    ) -> None:
        self.frame, self.edges, self.seed = frame, edges, seed
        self.rows = np.array(sorted(verdicts), np.int64)
        self.has = np.array([verdicts[row] for row in self.rows.tolist()], bool)
        self.strata = strata_of(frame.scores, edges)
        self.shares = np.ones(len(self.rows))  # of an event, for each answered window

    def find_events(self) -> None:
        """Set the share of each answered window: 1 over the windows of its event.

        The neighbours of a window were not asked about. Those with a score above a border are taken
        to have the class; answers go before.
        """
        frame = self.frame
        has = frame.scores > self._border()
        has[self.rows] = self.has
        places = np.flatnonzero(has)
        lengths = np.ones(len(frame))
        lengths[places] = run_lengths(frame.numbers[places], frame.contents[places], frame.step)
        self.shares = 1 / lengths[self.rows]

    def _border(self) -> float:
        """Return the score at which as many windows are wrongly above as wrongly below."""
        sizes = np.bincount(self.strata, minlength=len(self.edges) + 1)
        strata = self.strata[self.rows]
        weights = (sizes / np.maximum(np.bincount(strata, minlength=len(sizes)), 1))[strata]
        order = np.argsort(-self.frame.scores[self.rows], kind="stable")
        scores, weights, has = self.frame.scores[self.rows][order], weights[order], self.has[order]
        above = np.concatenate([[0.0], np.cumsum(weights * ~has)])
        below = np.concatenate([[0.0], np.cumsum((weights * has)[::-1])])[::-1]
        count = int(np.argmin(np.abs(above - below)))
        near = scores[max(0, count - 1) : count + 1]
        return float(near.mean()) if 0 < count < len(scores) else math.copysign(math.inf, -count)

    def cells(self) -> list[Cell]:
        """Return a cell for each stratum that has windows, the highest scores first."""
        strata = self.strata[self.rows]
        cells = []
        for number in range(len(self.edges), -1, -1):
            windows = int((self.strata == number).sum())
            if windows:
                cells.append(self._cell(windows, strata == number, np.ones(len(self.rows))))
        return cells

    def _cell(self, windows: int, inside: np.ndarray, weights: np.ndarray) -> Cell:
        order = np.concatenate(
            [np.flatnonzero(inside & self.has), np.flatnonzero(inside & ~self.has)]
        )
        hits = int((inside & self.has).sum())
        return Cell(windows, len(order), self.shares[order[:hits]], weights[order])

    def figures(self, cells: Sequence[Cell]) -> tuple[StratumFigures, ...]:
        edges = [_sigmoid(edge) for edge in self.edges]
        bounds = list(zip([0.0, *edges], [*edges, 1.0], strict=True))
        present = [n for n in range(len(edges), -1, -1) if (self.strata == n).any()]
        return tuple(
            StratumFigures(*bounds[n], cell.windows, cell.answered, cell.hits)
            for n, cell in zip(present, cells, strict=True)
        )

    def groups(self, column: str) -> tuple[GroupDensity, ...]:
        """Return the estimate of each value of a column."""
        frame = self.frame
        check_column(column, frame.recordings.values())
        names = {c: cell_of(r, column).strip() or "(none)" for c, r in frame.recordings.items()}
        values = sorted(set(names.values()))
        if len(values) > MOST_GROUPS:
            raise DataError(
                f"the column {column!r} has {len(values):,} values, too many for a sample. Name a"
                f" column with at most {MOST_GROUPS}, such as site."
            )
        number = {value: n for n, value in enumerate(values)}
        contents, inverse = np.unique(frame.contents, return_inverse=True)
        of_content = np.array([number[names[content]] for content in contents.tolist()])
        group = of_content[inverse]
        figures = []
        for n, value in enumerate(values):
            cells, inside = self._group_cells(group == n), group[self.rows] == n
            count = int((group == n).sum())
            if not count:
                continue
            figures.append(
                GroupDensity(
                    value,
                    count_windows(cells, self.seed),
                    count_events(cells, self.seed),
                    frame.hours(count),
                    int(inside.sum()),
                    int((inside & self.has).sum()),
                )
            )
        return tuple(figures)

    def _group_cells(self, inside: np.ndarray) -> list[Cell]:
        """Return the cells of a group (N,); strata of few answers are joined with those below.

        In a cell of several strata, an answer has the weight of the windows that it stands for.
        """
        windows = np.bincount(self.strata[inside], minlength=len(self.edges) + 1)
        strata = self.strata[self.rows]
        own = inside[self.rows]
        answered = np.bincount(strata[own], minlength=len(windows))
        weights = (windows / np.maximum(answered, 1))[strata]
        cells: list[list[int]] = []
        for number in range(len(windows) - 1, -1, -1):
            if not cells or answered[cells[-1]].sum() >= LEAST_ANSWERED:
                cells.append([])
            cells[-1].append(number)
        if len(cells) > 1 and answered[cells[-1]].sum() < LEAST_ANSWERED:
            last = cells.pop()
            cells[-1] += last
        return [
            self._cell(int(windows[numbers].sum()), own & np.isin(strata, numbers), weights)
            for numbers in cells
        ]


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
