"""Windows and events of a class from the answers on a sample that was drawn by strata of score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.errors import DataError, amount
from earmark.labelling.active import probability
from earmark.labelling.conditions import cell_of, check_column
from earmark.labelling.density_frame import Frame
from earmark.labelling.estimates import Interval
from earmark.labelling.strata import (
    Cell,
    count_events,
    count_windows,
    run_lengths,
    strata_of,
)

LEAST_ANSWERED = 8  # of a cell of a group; strata with fewer are joined with those below
MOST_GROUPS = 200
SURE_PRECISION = 0.8  # of the scores above the border; below it, the number of events is rough


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
    is_rough : bool
        Whether the scores are too poor for the interval of events.
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
    is_rough: bool = False


def estimate(
    frame: Frame,
    edges: Sequence[float],
    verdicts: Mapping[int, bool],
    seed: int = 0,
    group: str | None = None,
    before: Mapping[int, bool] | None = None,
) -> Density:
    """Estimate windows and events from answers on some rows of a frame.

    ``edges`` are the log-odds between strata. The answers of each stratum must be a random sample.
    ``before`` has answers on the windows just before those with the class: with them, an event is
    counted where it begins, whatever the scores are.
    """
    work = _Estimate(frame, edges, verdicts, seed)
    windows = count_windows(work.cells(), seed)
    if not (before and work.begin_events(before)):
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
        notes=work.notes,
        is_rough=work.is_rough,
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
        self.notes: tuple[str, ...] = ()
        self.is_rough = False

    def begin_events(self, before: Mapping[int, bool]) -> bool:
        """Set the share of each answered window: 1 if an event begins in it, else 0.

        Returns whether enough is known of the windows before.
        """
        known = {row: bool(has) for row, has in zip(self.rows, self.has, strict=True)}
        known.update(before)
        previous = self.frame.before(self.rows)
        is_known = np.array([row < 0 or row in known for row in previous.tolist()])
        begins = np.array([not known.get(row, False) for row in previous.tolist()])
        usable = self.has & is_known
        if not usable.any():
            return False
        self.shares = np.where(is_known, begins, begins[usable].mean())
        missing = int((self.has & ~is_known).sum())
        if missing:
            self.notes = (
                f"of {amount(missing, 'window')} with the class, the one before has no answer; they"
                " count as the others on average.",
            )
        return True

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
        precision = float((weights * has)[:count].sum() / max(1e-9, weights[:count].sum()))
        if has.any() and precision < SURE_PRECISION:
            self.is_rough = True
            self.notes = (
                "the number of events is rough: whether the neighbours of an answered window have"
                f" the class is taken from the scores, and {100 * precision:.0f} % of the windows"
                " with such scores have it. Answer the windows before them to know it: -o"
                " BEFORE.csv writes them, and --before BEFORE.csv reads them.",
            )
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
        edges = probability(np.array(self.edges, np.float64)).tolist()
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
