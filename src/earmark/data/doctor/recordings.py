"""Check recordings, each by itself and compared with the others."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from earmark.audio.options import LOUD_PEAK, full_scale
from earmark.data.clip import NO_CLASS
from earmark.data.doctor.facts import Facts
from earmark.data.doctor.findings import Finding, Item, Names
from earmark.errors import amount

SILENT_PEAK = 1e-4  # -80 dB of full scale, three steps of 16-bit audio
LEAST_OFFSET = 1 / 256  # half a step of 8-bit audio; a wrong conversion shifts by a whole step
LEAST_CLIPPED = 1e-3  # share of the samples; no recording of ESC-10 has more than 4e-5
LEAST_CLIPPED_PEAK = 0.2  # below it, the steps of 8-bit audio look like clipping
MOST_OPPOSED = 0.1  # of `Facts.mix`: the mono mix is 10 dB softer than with unrelated channels
MOST_BAND = 0.5  # share of the possible band; mp3 and AAC at usual bit rates keep two thirds
LENGTH_FACTOR = 3.0  # a length differs if it is this many times the median, and
LENGTH_SPREADS = 5.0  # this many robust standard deviations of the logarithm away from it
LEAST_LENGTHS = 5  # clips that are needed to compare lengths
TIED = 0.8  # least share of a class with a trait; at most 1 - TIED of other clips may have it

Detail = Callable[[Facts], str]


def is_heard(facts: Facts) -> bool:
    """Return whether the mono mix has sound that can be compared with other clips."""
    return facts.error is None and facts.peak >= SILENT_PEAK and facts.mix > 1e-6


def check(facts: Sequence[Facts], names: Names) -> Iterator[Finding]:
    """Yield the findings about recordings."""
    waveforms = [f for f in facts if f.error is None]
    sounding = [f for f in waveforms if f.peak >= SILENT_PEAK]
    yield from _reading(facts, names)
    silent, silence = silent_clips(facts)
    advice = "nothing is above -80 dB of full scale: remove them, or make silence a class."
    yield from _one_each("silent", "warning", silent, lambda f: names(f.clip), advice)
    advice = (
        "nearly all clips of this class are silent (below -80 dB of full scale); equal ones count"
        " once, so add different ones, such as recordings of a quiet room."
    )
    yield from _one_each("class of silence", "note", silence, lambda f: names(f.clip), advice)
    yield from _levels(sounding, names)
    yield from _lengths(waveforms, names)
    yield from _rates(waveforms)
    yield from _bands(sounding, names)


def silent_clips(facts: Sequence[Facts]) -> tuple[list[Facts], list[Facts]]:
    """Return the silent clips, and the silent clips of the one class that means silence.

    In that class, nearly all clips are silent. If there are two such classes, neither counts,
    because they could not be distinguished.
    """
    readable = [f for f in facts if f.error is None]
    silent = [f for f in readable if f.peak < SILENT_PEAK]
    size = collections.Counter(f.clip.label for f in readable)
    count = collections.Counter(f.clip.label for f in silent)
    silence = {label for label in count if count[label] >= max(2, TIED * size[label])}
    if len(silence) > 1:
        silence = set()
    return (
        [f for f in silent if f.clip.label not in silence],
        [f for f in silent if f.clip.label in silence],
    )


def _reading(facts: Sequence[Facts], names: Names) -> Iterator[Finding]:
    def detail(f: Facts) -> str:
        return f"{names(f.clip)}: {_kind_and_reason(f)[1]}"

    empty = [f for f in facts if _kind_and_reason(f)[0] == "empty"]
    unreadable = [f for f in facts if _kind_and_reason(f)[0] not in ("", "empty")]
    yield from _one_each("unreadable", "error", unreadable, detail, "replace or remove them.")
    yield from _one_each("empty", "error", empty, detail, "copy them again or remove them.")
    yield from _one_each(
        "incomplete",
        "warning",
        [f for f in facts if f.warnings],
        lambda f: f"{names(f.clip)}: {' '.join(f.warnings)}",
        "copy them again, or check that the label fits what is left.",
    )
    if short := [f for f in facts if f.notes]:
        detail_of_all = f"{names(short[0].clip)}: {short[0].notes[0].rstrip('.')}"
        if len(short) > 1:
            detail_of_all += f"; {amount(len(short) - 1, 'other')} like it"
        items = (Item(tuple(f.clip for f in short), detail_of_all),)
        yield Finding("a little short", "note", items, "this matters only for very short clips.")
    yield from _one_each(
        "decoder remarks",
        "note",
        [f for f in facts if f.remarks],
        lambda f: f"{names(f.clip)}: {' '.join(f.remarks)}",
        "the decoded audio is used; if it sounds wrong, compare it with the original.",
    )


def _kind_and_reason(facts: Facts) -> tuple[str, str]:
    """Return the kind of an error and its reason, or two empty strings if the clip was read."""
    if facts.error is None:
        return "", ""
    return facts.error.kind, facts.error.reason


def _levels(facts: Sequence[Facts], names: Names) -> Iterator[Finding]:
    loud = [f for f in facts if f.peak >= LOUD_PEAK]
    yield from _one_each(
        "scale",
        "warning",
        loud,
        lambda f: f"{names(f.clip)}: samples reach {f.peak:.4g}",
        "full scale is 1, so these may be integers stored as floats: divide them by their full"
        " scale, or give"
        f" --full-scale {full_scale(max((f.peak for f in loud), default=1)):.0f}.",
    )
    clipped = [f for f in facts if f.clipped >= LEAST_CLIPPED and f.peak >= LEAST_CLIPPED_PEAK]
    yield from _one_each(
        "clipped",
        "warning",
        clipped,
        lambda f: f"{names(f.clip)}: {f.clipped:.1%} of the samples are at the limit",
        "record with less gain, or remove the worst.",
    )
    shifted = [f for f in facts if f.offset >= LEAST_OFFSET]
    yield from _trait(
        "DC offset",
        shifted,
        facts,
        items=_items(shifted, lambda f: f"{names(f.clip)}: {f.offset:.4f} of full scale"),
        trait="with a DC offset",
        advice="remove the offset with a high-pass filter.",
    )
    opposed = [f for f in facts if f.mix < MOST_OPPOSED]
    yield from _one_each(
        "opposite phase",
        "warning",
        opposed,
        lambda f: names(f.clip),
        "the channels cancel each other in the mono mix: invert one, or use only one (--channel).",
    )


def _lengths(facts: Sequence[Facts], names: Names) -> Iterator[Finding]:
    """Yield clips whose length is far from the median, as a factor and by the spread."""
    if len(facts) < LEAST_LENGTHS:
        return
    length = np.log([f.seconds for f in facts])
    difference = length - np.median(length)
    spread = 1.4826 * np.median(np.abs(difference))  # estimates the standard deviation
    limit = max(np.log(LENGTH_FACTOR), LENGTH_SPREADS * spread)
    median_s = float(np.exp(np.median(length)))
    kinds = (("much shorter", difference < -limit), ("much longer", difference > limit))
    for kind, is_far in kinds:
        yield from _one_each(
            kind,
            "warning",
            [facts[i] for i in np.flatnonzero(is_far).tolist()],
            lambda f: f"{names(f.clip)}: {f.seconds:.3g} s",
            f"the median length is {median_s:.3g} s: check whether these were cut wrongly.",
        )


def _rates(facts: Sequence[Facts]) -> Iterator[Finding]:
    """Yield clips that do not have the most frequent sample rate."""
    of_rate: dict[int, list[Facts]] = collections.defaultdict(list)
    for f in facts:
        of_rate[f.rate_hz].append(f)
    commonest, *others = sorted(of_rate, key=lambda rate: -len(of_rate[rate])) or [0]
    items = [
        Item(
            tuple(f.clip for f in of_rate[rate]), f"{rate} Hz: {amount(len(of_rate[rate]), 'clip')}"
        )
        for rate in others
    ]
    yield from _trait(
        "mixed sample rates",
        [f for rate in others for f in of_rate[rate]],
        facts,
        items=items,
        trait=f"at {others[0]} Hz" if len(others) == 1 else f"not at {commonest} Hz",
        advice=f"the most frequent rate is {commonest} Hz; resampling does not restore what a lower"
        " rate lost.",
    )


def _bands(facts: Sequence[Facts], names: Names) -> Iterator[Finding]:
    """Yield clips that had a lower sample rate before."""
    narrow = [f for f in facts if f.band_hz and f.band_hz <= MOST_BAND * f.rate_hz / 2]
    yield from _trait(
        "narrow band",
        narrow,
        facts,
        items=_items(narrow, lambda f: f"{names(f.clip)}: nothing above {f.band_hz:.0f} Hz"),
        trait="with a narrow band",
        advice="they had a lower sample rate before, and resampling did not restore what it lost.",
    )


def _one_each(
    kind: str, severity: str, facts: Sequence[Facts], detail: Detail, advice: str
) -> Iterator[Finding]:
    """Yield a finding with one case for each clip, if there are any."""
    if facts:
        yield Finding(kind, severity, _items(facts, detail), advice)


def _items(facts: Sequence[Facts], detail: Detail) -> tuple[Item, ...]:
    return tuple(Item((f.clip,), detail(f)) for f in facts)


def _trait(
    kind: str,
    affected: Sequence[Facts],
    everyone: Sequence[Facts],
    *,
    items: Sequence[Item],
    trait: str,
    advice: str,
) -> Iterator[Finding]:
    """Yield a note about a harmless trait, or a warning if it distinguishes a class from others."""
    if not affected:
        return
    size = collections.Counter(f.clip.label for f in everyone)
    count = collections.Counter(f.clip.label for f in affected)
    tied = [
        label
        for label in sorted(count, key=str)
        if label is not None
        and count[label] >= TIED * size[label]
        and len(affected) - count[label] <= (1 - TIED) * (len(everyone) - size[label])
    ]
    if not tied:
        yield Finding(kind, "note", tuple(items), advice)
        return
    clips = _share(sum(count[label] for label in tied), len(affected), trait)
    labels = " or ".join(repr(label) if label else NO_CLASS for label in tied)
    risk = f"{clips} {labels}: the model could learn the recorder instead of the sound"
    yield Finding(kind, "warning", tuple(items), f"{risk}; {advice}")


def _share(count: int, total: int, trait: str) -> str:
    """Return 'All 8 clips at 8000 Hz are', '7 of the 8 clips ... are' or 'The only clip ... is'."""
    if total == 1:
        return f"The only clip {trait} is"
    return f"{f'All {total}' if count == total else f'{count} of the {total}'} clips {trait} are"
