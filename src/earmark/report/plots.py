"""Plots as strings of inline SVG, whose colours are in the style sheet of the page.

Every plot is 340 units wide, so on a phone its text is as large as that of the page. It grows with
the page up to a limit. These functions escape text; no other module writes SVG.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.report import palette
from earmark.report.figures import Bin
from earmark.report.text import SPACE, percent, safe

WIDTH = 340.0
TICKS = (0, 0.25, 0.5, 0.75, 1)
FEW = 10  # with fewer clips in a bin, its height means little
MOST_POINTS = 4_000  # points of a map
MOST_LETTERS = 16  # letters of a name on a map


def svg(height: float, label: str, parts: Iterable[str], kind: str = "") -> str:
    """Return an image of ``parts``; screen readers read out ``label``."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot {kind}" role="img"'
        f' viewBox="0 0 {WIDTH:g} {height:g}" aria-label="{safe(label)}">{"".join(parts)}</svg>'
    )


def text(x: float, y: float, words: object, kind: str = "", most: int = 60) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{safe(words, most)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" class="{kind}"/>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}"'
        f' height="{max(height, 0):.1f}" class="{kind}"/>'
    )


def dot(x: float, y: float, radius: float, kind: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="{kind}"/>'


@dataclass(frozen=True)
class Row:
    """A row of a chart: a share of clips, with its interval if it is known."""

    name: str
    value: float
    interval: tuple[float, float] | None = None
    is_main: bool = False


def rows(label: str, chart: Sequence[Row], n_clips: int, *, bars: bool = False) -> str:
    """Draw the name and value of each row above a scale from 0 to 100 %.

    A value is drawn as a bar, or as a point with its interval. Screen readers read out the
    ``label`` and the rows.
    """
    left, right, step = 4.0, WIDTH - 4, 34.0
    bottom = len(chart) * step + 6

    def at(share: float) -> float:
        return left + share * (right - left)

    parts = []
    for tick in TICKS:
        anchor = "middle" if 0 < tick < 1 else "end" if tick else "start"
        parts.append(line(at(tick), 2, at(tick), bottom, "grid"))
        parts.append(text(at(tick), bottom + 13, f"{tick * 100:.0f}{SPACE}%", f"tick {anchor}"))
    for n, row in enumerate(chart):
        y = n * step
        main = "main" if row.is_main else "other"
        parts.append(text(left, y + 14, row.name, f"halo {main}", 36))
        parts.append(text(right, y + 14, percent(row.value, n_clips), f"halo end {main}"))
        y += 25
        if bars:
            parts.append(box(left, y - 5, at(row.value) - left, 9, f"bar {main}"))
            continue
        if row.interval:
            low, high = map(at, row.interval)
            parts.append(box(low, y - 4, high - low, 8, f"interval {main}"))
        parts.append(dot(at(row.value), y, 4.5, f"point {main}"))
    spoken = "; ".join(f"{row.name} {percent(row.value, n_clips)}" for row in chart)
    return svg(bottom + 18, f"{label}: {spoken}", parts)


def reliability(
    label: str, bins: Sequence[Bin], quantity: str = "accuracy", noun: str = "clips"
) -> str:
    """Draw ``quantity`` against confidence in bins, the ideal line, and the number of ``noun`` in
    each bin."""
    left, right, height = 48.0, WIDTH - 8, 250.0
    width, base = right - left, height + 86
    most = max(b.n_clips for b in bins)
    parts = []
    for tick in TICKS:
        x, y, share = left + tick * width, 6 + height * (1 - tick), f"{tick * 100:.0f}"
        anchor = "end" if tick == 1 else "middle"
        parts += [line(left, y, right, y, "grid"), text(left - 5, y + 4, share, "tick end")]
        parts += [line(x, 6, x, 6 + height, "grid"), text(x, base + 14, share, f"tick {anchor}")]
    parts.append(
        f'<text transform="translate(11 {6 + height / 2:g})rotate(-90)" class="tick middle">'
        f"{quantity}, %</text>"
    )
    for b in bins:
        if b.accuracy is None or b.confidence is None:
            continue
        x, wide = left + b.low * width, (b.high - b.low) * width
        faint = " faint" if b.n_clips < FEW else ""
        top = 6 + height * (1 - b.accuracy)
        parts.append(box(x + 1, top, wide - 2, 6 + height - top, f"bar{faint}"))
        parts.append(dot(left + b.confidence * width, top, 3, f"point{faint}"))
        tall = 52 * b.n_clips / most
        parts.append(box(x + 1, base - tall, wide - 2, tall, "bar other"))
    parts += [line(left, 6 + height, right, 6, "ideal"), line(left, base, right, base, "axis")]
    for up, label_y in ((43, f"{most:,}"), (30, noun), (0, "0")):
        parts.append(text(left - 5, base - up, label_y, "tick end"))
    parts.append(text((left + right) / 2, height + 118, "confidence, %", "tick middle"))
    return svg(height + 124, label, parts)


def curve(
    label: str,
    x: Sequence[float],
    values: Sequence[float],
    label_x: str,
    *,
    band: Sequence[tuple[float, float]] = (),
    doubling: bool = False,
    shares: bool = True,
) -> str:
    """Draw ``values`` against ``x``, with a ``band`` of (low, high) around them.

    With ``doubling``, the x axis is logarithmic. With ``shares``, values are shown as percent.
    """
    left, right, height = 46.0, WIDTH - 14, 190.0
    ends = [*values, *(value for pair in band for value in pair)]
    ticks = _ticks(min(ends), max(ends))
    low, high = ticks[0], ticks[-1]
    places = np.log2(x) if doubling else np.asarray(x, float)
    span = (places[-1] - places[0]) or 1.0

    def spot(n: int, value: float) -> tuple[float, float]:
        share = (places[n] - places[0]) / span if len(x) > 1 else 0.5
        return left + share * (right - left), 8 + height * (high - value) / (high - low)

    def path(points: Iterable[tuple[float, float]]) -> str:
        return "L".join(f"{a:.1f} {b:.1f}" for a, b in points)

    parts = []
    for tick in ticks:
        y = spot(0, float(tick))[1]
        parts.append(line(left, y, right, y, "grid"))
        shown = f"{tick * 100:.3g}{SPACE}%" if shares else f"{tick:.3g}"
        parts.append(text(left - 5, y + 4, shown, "tick end"))
    step = max(1, -(-len(x) // 8))
    for n in range(0, len(x), step):
        parts.append(text(spot(n, low)[0], height + 24, f"{x[n]:g}", "tick middle"))
    parts.append(text((left + right) / 2, height + 42, label_x, "tick middle"))
    if band:
        up = [spot(n, pair[1]) for n, pair in enumerate(band)]
        down = [spot(n, pair[0]) for n, pair in enumerate(band)]
        parts.append(f'<path d="M{path([*up, *down[::-1]])}z" class="band"/>')
    spots = [spot(n, value) for n, value in enumerate(values)]
    parts.append(f'<path d="M{path(spots)}" class="line"/>')
    if len(spots) <= 40:
        parts += [dot(a, b, 3, "point") for a, b in spots]
    return svg(height + 48, label, parts)


def _ticks(low: float, high: float) -> np.ndarray:
    """Return round numbers, usually 4 to 6, that span ``low..high``."""
    least = (high - low) / 5 if high - low > 1e-6 else 0.02
    power = 10.0 ** np.floor(np.log10(least))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= least * (1 - 1e-9))
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return np.asarray(np.arange(first, max(last, first + 1) + 1) * step)


def scatter(
    label: str,
    xy: np.ndarray,
    truth: np.ndarray,
    is_error: np.ndarray,
    names: Sequence[str] | None,
) -> str:
    """Draw points (N, 2) with the colour and mark of their class ``truth`` (N,).

    A ring marks those where ``is_error`` (N,). If ``names`` are given, the name of each class
    stands at its most central point.
    """
    at, height = _spread(xy, WIDTH - 24)
    parts, present = [], np.unique(truth).tolist()
    for k in present:
        colour, shape = palette.look(k)
        d = "".join(f"M{x:.1f} {y:.1f}{shape}" for x, y in at[truth == k])
        parts.append(f'<path d="{d}" class="mark {colour}"/>')
    parts += [dot(x, y, 4.6, "ring") for x, y in at[is_error]]
    if names is None:
        return svg(height + 24, label, parts, "wide")
    centres = np.array([_central(at[truth == k]) for k in present])
    wide = np.array([6.0 * min(len(names[k]), MOST_LETTERS) for k in present])
    places = _apart(centres, wide)
    for k, (x, y) in zip(present, places, strict=True):
        anchor = "start" if x < 50 else "end" if x > WIDTH - 50 else "middle"
        parts.append(text(x, y + 3, names[k], f"halo centre {anchor}", MOST_LETTERS))
    return svg(max(height + 24, places[:, 1].max() + 8), label, parts, "wide")


def mark(k: int) -> str:
    """Return the mark of class ``k`` for a legend. It is hidden from screen readers, because the
    name of the class stands beside it."""
    colour, shape = palette.look(k)
    return _swatch(8, f'<path d="M4 4{shape}" class="mark {colour}"/>')


def ring() -> str:
    """Return the ring of an error for a legend."""
    return _swatch(12, dot(6, 6, 4.6, "ring"))


def _swatch(size: int, part: str) -> str:
    return f'<svg class="swatch" viewBox="0 0 {size} {size}" aria-hidden="true">{part}</svg>'


def _spread(xy: np.ndarray, size: float) -> tuple[np.ndarray, float]:
    """Return positions (N, 2) rotated so that they spread most along x, and the height of the plot.

    Each axis has its own scale.
    """
    centred = xy - xy.mean(0)
    axes = centred @ np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    span = np.ptp(axes, axis=0)
    height = size * float(np.clip(span[1] / (span[0] or 1), 0.7, 1))
    scale = (size, height) / np.where(span > 0, span, 1)
    return (axes - axes.min(0)) * scale + 12, height


def _central(points: np.ndarray) -> np.ndarray:
    """Return the point nearest to the median of ``points`` (n, 2)."""
    away = ((points - np.median(points, axis=0)) ** 2).sum(1)
    return np.asarray(points[away.argmin()])


def _apart(places: np.ndarray, wide: np.ndarray, high: float = 11.0) -> np.ndarray:
    """Return places (K, 2) of texts of width ``wide`` (K,), moved down until none overlap."""
    places = places.copy()
    order = np.argsort(places[:, 1], kind="stable")
    for n, k in enumerate(order):
        above = order[:n]
        for other in above[np.argsort(places[above, 1], kind="stable")]:
            x, y = abs(places[k] - places[other])
            if x < (wide[k] + wide[other]) / 2 and y < high:
                places[k, 1] = places[other, 1] + high
    return places
