"""What listening tells about recordings: each by itself, and one among the rest."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from earmark.data.doctor.facts import Facts
from earmark.data.doctor.findings import Finding, Item, Names

SILENT_PEAK = 1e-4  # -80 dB of full scale, three steps of 16-bit audio
LEAST_OFFSET = 1 / 256  # half a step of 8-bit audio: a wrong conversion shifts by a whole one
LEAST_CLIPPED = 1e-3  # of the samples; of ESC-10's recordings none has more than 4e-5
LEAST_CLIPPED_PEAK = 0.2  # below it, the steps of 8-bit audio look like a rail
MOST_OPPOSED = 0.1  # `Facts.mix`: the mono mix is 10 dB softer than one of unrelated channels
MOST_BAND = 0.5  # of what the rate allows; mp3 and AAC at usual bit rates keep two thirds
LENGTH_FACTOR = 3.0  # times the median, and
LENGTH_SPREADS = 5.0  # robust standard deviations of the logarithm away from it
LEAST_LENGTHS = 5  # clips, to speak of the rest
TIED = 0.8  # of a class is affected, and at most 1 - TIED of the other clips

_EMPTY = ("the file is empty", "holds no samples")  # how `audio` says so
Detail = Callable[[Facts], str]


def is_heard(facts: Facts) -> bool:
    """Say whether the mono mix has a sound, to be compared with others."""
    return not facts.error and facts.peak >= SILENT_PEAK and facts.mix > 1e-6


def check(facts: Sequence[Facts], names: Names) -> Iterator[Finding]:
    """Yield the findings about recordings."""
    read = [f for f in facts if not f.error]
    sounding = [f for f in read if f.peak >= SILENT_PEAK]
    yield from _reading(facts, names)
    silent = [f for f in read if f.peak < SILENT_PEAK]
    advice = "nothing above -80 dB of full scale: remove them, or make silence a class."
    yield from _found("silent", "warning", silent, lambda f: names(f.clip), advice)
    yield from _levels(sounding, names)
    yield from _lengths(read, names)
    yield from _rates(read)
    yield from _bands(sounding, names)


def _reading(facts: Sequence[Facts], names: Names) -> Iterator[Finding]:
    def error(f: Facts) -> str:
        return f"{names(f.clip)}: {f.error.removeprefix(f'{f.clip.path}: ')}"

    empty = [f for f in facts if any(phrase in f.error for phrase in _EMPTY)]
    unreadable = [f for f in facts if f.error and f not in empty]
    cut = [f for f in facts if f.warnings]
    yield from _found("unreadable", "error", unreadable, error, "replace or remove them.")
    yield from _found("empty", "error", empty, error, "fetch them again or remove them.")
    yield from _found(
        "incomplete",
        "warning",
        cut,
        lambda f: f"{names(f.clip)}: {' '.join(f.warnings)}",
        "fetch them again, or see that what is left is what the label says.",
    )


def _levels(facts: Sequence[Facts], names: Names) -> Iterator[Finding]:
    clipped = [f for f in facts if f.clipped >= LEAST_CLIPPED and f.peak >= LEAST_CLIPPED_PEAK]
    yield from _found(
        "clipped",
        "warning",
        clipped,
        lambda f: f"{names(f.clip)}: {f.clipped:.1%} of the samples are at the limit",
        "record with less gain, or leave out the worst.",
    )
    shifted = [f for f in facts if f.offset >= LEAST_OFFSET]
    yield from _trait(
        "DC offset",
        shifted,
        facts,
        _each(shifted, lambda f: f"{names(f.clip)}: {f.offset:.4f} of full scale"),
        "a constant is added to these: take it out with a high-pass filter.",
    )
    opposed = [f for f in facts if f.mix < MOST_OPPOSED]
    yield from _found(
        "opposite phase",
        "warning",
        opposed,
        lambda f: names(f.clip),
        "the channels cancel each other in the mono mix: invert one, or use one only.",
    )


def _lengths(facts: Sequence[Facts], names: Names) -> Iterator[Finding]:
    """Find clips far from the median, both as a factor and by the spread of all the others."""
    if len(facts) < LEAST_LENGTHS:
        return
    length = np.log([f.seconds for f in facts])
    away = length - np.median(length)
    spread = 1.4826 * np.median(np.abs(away))  # the standard deviation, were it a Gaussian
    limit = max(np.log(LENGTH_FACTOR), LENGTH_SPREADS * spread)
    usual_s = float(np.exp(np.median(length)))
    for kind, is_far in (("much shorter", away < -limit), ("much longer", away > limit)):
        far = [f for f, one in zip(facts, is_far, strict=True) if one]
        yield from _found(
            kind,
            "warning",
            far,
            lambda f: f"{names(f.clip)}: {f.seconds:.3g} s",
            f"the median is {usual_s:.3g} s: see whether these were cut wrongly.",
        )


def _rates(facts: Sequence[Facts]) -> Iterator[Finding]:
    """Find clips that do not have the commonest sample rate."""
    of_rate: dict[int, list[Facts]] = collections.defaultdict(list)
    for f in facts:
        of_rate[f.rate_hz].append(f)
    by_count = sorted(of_rate, key=lambda rate: -len(of_rate[rate]))
    others = [f for rate in by_count[1:] for f in of_rate[rate]]
    items = [
        Item(tuple(f.clip for f in of_rate[rate]), f"{rate} Hz: {len(of_rate[rate])} clips")
        for rate in by_count[1:]
    ]
    yield from _trait(
        "mixed sample rates",
        others,
        facts,
        items,
        f"most have {by_count[0] if by_count else 0} Hz; all are resampled, but what a low rate"
        " has lost stays lost.",
    )


def _bands(facts: Sequence[Facts], names: Names) -> Iterator[Finding]:
    """Find clips that were recorded, sent or stored at a lower rate than they have now."""
    narrow = [f for f in facts if f.band_hz and f.band_hz <= MOST_BAND * f.rate_hz / 2]
    yield from _trait(
        "narrow band",
        narrow,
        facts,
        _each(narrow, lambda f: f"{names(f.clip)}: nothing above {f.band_hz:.0f} Hz"),
        "they once had a lower sample rate: see that it is not one class that has.",
    )


def _found(
    kind: str, severity: str, facts: Sequence[Facts], detail: Detail, advice: str
) -> Iterator[Finding]:
    if facts:
        yield Finding(kind, severity, _each(facts, detail), advice)


def _each(facts: Sequence[Facts], detail: Detail) -> tuple[Item, ...]:
    return tuple(Item((f.clip,), detail(f)) for f in facts)


def _trait(
    kind: str,
    affected: Sequence[Facts],
    everyone: Sequence[Facts],
    items: Sequence[Item],
    advice: str,
) -> Iterator[Finding]:
    """Yield a note about a harmless trait, or a warning where it gives a class away."""
    if not affected:
        return
    count = collections.Counter(f.clip.label for f in everyone)
    has = collections.Counter(f.clip.label for f in affected)
    tied = [
        repr(label)
        for label in sorted(has, key=str)
        if has[label] >= TIED * count[label]
        and len(affected) - has[label] <= (1 - TIED) * (len(everyone) - count[label])
    ]
    severity = "warning" if tied else "note"
    given_away = f"it gives {', '.join(tied)} away: " if tied else ""
    yield Finding(kind, severity, tuple(items), given_away + advice)
