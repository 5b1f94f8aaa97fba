"""Plots of detected events as inline SVG: curves over thresholds, and histograms of errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from earmark.report.plots import TICKS, WIDTH, box, line, svg, text
from earmark.report.text import SPACE, number

LEFT, RIGHT, TOP, HEIGHT = 46.0, WIDTH - 14, 8.0, 190.0
BARS = 21  # of a histogram; the first and the last also have what lies beyond
KINDS = ("main", "other")  # of lines


def shares(
    label: str,
    x: Sequence[float],
    series: Mapping[str, Sequence[float | None]],
    label_x: str,
    chosen: Sequence[float] = (),
) -> str:
    """Draw shares from 0 to 1 against thresholds from 0 to 1, and mark the ``chosen`` thresholds.

    A share that is None interrupts its line. The name of each line stands at its end.
    """
    parts = []
    for tick in TICKS:
        y = _y(tick)
        parts += [line(LEFT, y, RIGHT, y, "grid")]
        parts += [text(LEFT - 5, y + 4, f"{tick * 100:.0f}{SPACE}%", "tick end")]
    parts += [*_threshold_axis(label_x), *_marks(chosen)]
    for values, kind in zip(series.values(), KINDS, strict=False):
        spots = [
            None if value is None else (_x(at), _y(value))
            for at, value in zip(x, values, strict=True)
        ]
        parts += _path(spots, kind)
    parts += _legend(list(series))
    spoken = "; ".join(
        f"{name} {number(values[len(values) // 2] or 0)} at {x[len(x) // 2]:g}"
        for name, values in series.items()
    )
    return svg(TOP + HEIGHT + 62, f"{label}: {spoken}", parts)


def rates(label: str, x: Sequence[float], values: Sequence[float], chosen: Sequence[float]) -> str:
    """Draw rates an hour against thresholds; the axis is logarithmic and its lowest line is 0."""
    above = [value for value in values if value > 0]
    low = math.floor(math.log10(min(above, default=1.0)) - 1e-9)
    high = max(low + 1, math.ceil(math.log10(max(above, default=10.0)) - 1e-9))
    low -= 1  # where 0 stands

    def height(value: float) -> float:
        power = math.log10(value) if value > 0 else low
        return _y((power - low) / (high - low))

    parts = []
    for power in range(low, high + 1):
        y = height(10.0**power)
        words = "0" if power == low else f"{10.0**power:,g}"
        parts += [line(LEFT, y, RIGHT, y, "grid"), text(LEFT - 5, y + 4, words, "tick end")]
    parts += [*_threshold_axis("threshold"), *_marks(chosen)]
    parts += _path([(_x(at), height(v)) for at, v in zip(x, values, strict=True)], "main")
    spoken = "; ".join(f"{number(v)} at {at:g}" for at, v in zip(x, values, strict=True))
    return svg(TOP + HEIGHT + 46, f"{label}: {spoken}", parts)


def histogram(label: str, errors: np.ndarray, limit: float, collar: float, label_x: str) -> str:
    """Draw how many ``errors`` (N,) there are of each size, and the collar on both sides of 0.

    Errors beyond ``limit`` are in the outermost bars.
    """
    edges = np.linspace(-limit, limit, BARS + 1)
    counts, _ = np.histogram(np.clip(errors, -limit, limit), edges)
    height, most = 110.0, max(1, int(counts.max()))
    base, width = TOP + height, (RIGHT - LEFT) / BARS

    def at(error: float) -> float:
        return LEFT + (error + limit) / (2 * limit) * (RIGHT - LEFT)

    parts = [box(at(-collar), TOP, at(collar) - at(-collar), height, "band")]
    for n, count in enumerate(counts.tolist()):
        tall = height * count / most
        parts.append(box(LEFT + n * width + 0.5, base - tall, width - 1, tall, "bar main"))
    parts += [line(LEFT, base, RIGHT, base, "axis"), line(at(0), TOP, at(0), base, "ideal")]
    for error, anchor in ((-limit, "start"), (0.0, "middle"), (limit, "end")):
        parts.append(
            text(at(error), base + 15, f"{error:+.2g}" if error else "0", f"tick {anchor}")
        )
    parts += [
        text(LEFT - 5, TOP + 8, f"{most:,}", "tick end"),
        text(LEFT - 5, base, "0", "tick end"),
    ]
    parts.append(text((LEFT + RIGHT) / 2, base + 32, label_x, "tick middle"))
    median = float(np.median(np.abs(errors)))
    return svg(base + 38, f"{label}: half of them below {median:.3f} s", parts)


def _x(threshold: float) -> float:
    return LEFT + threshold * (RIGHT - LEFT)


def _y(share: float) -> float:
    return TOP + HEIGHT * (1 - share)


def _threshold_axis(label: str) -> list[str]:
    base = TOP + HEIGHT
    ticks = [text(_x(tick), base + 16, f"{tick:g}", "tick middle") for tick in TICKS]
    return [*ticks, text((LEFT + RIGHT) / 2, base + 33, label, "tick middle")]


def _marks(chosen: Sequence[float]) -> list[str]:
    return [line(_x(at), TOP, _x(at), TOP + HEIGHT, "ideal") for at in chosen if at <= 1]


def _path(spots: Sequence[tuple[float, float] | None], kind: str) -> list[str]:
    runs: list[list[str]] = [[]]
    for spot in spots:
        if spot is None:
            runs.append([])
        else:
            runs[-1].append(f"{spot[0]:.1f} {spot[1]:.1f}")
    return [f'<path d="M{"L".join(run)}" class="line {kind}"/>' for run in runs if run]


def _legend(names: Sequence[str]) -> list[str]:
    parts, y = [], TOP + HEIGHT + 53
    for n, (name, kind) in enumerate(zip(names, KINDS, strict=False)):
        x = LEFT + n * 110
        parts += [line(x, y, x + 22, y, f"line {kind}"), text(x + 28, y + 4, name, "tick")]
    return parts
