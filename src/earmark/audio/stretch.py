"""The frames that are requested from a recording, what is missing of them, and length limits."""

from __future__ import annotations

import os
from typing import NamedTuple

from earmark.audio.decoder import Header, Refusal, reason
from earmark.errors import EarmarkError

MAX_SECONDS = 24 * 3600.0  # of one clip; EARMARK_MAX_SECONDS overrides it
ENDLESS_S = 1e9  # 30 years: no limit
MAX_BYTES = 4 * 2**30  # of one clip's samples (6.2 h at 48 kHz); EARMARK_MAX_BYTES overrides it
MIN_RATE_HZ = 100  # infrasound has 100; a wrong rate of 1 Hz would turn 1 sample into 16,000
MAX_RATE_HZ = 10_000_000  # hydrophones reach 2 MHz; a wrong rate of 2 GHz took gigabytes
TINY = ((0.1, 0.05), (1.0, 0.01))  # (seconds, share): if less is missing, it is only a note
END_SLACK_S = 0.05  # manifests round, so an ``end`` up to this far after the end is allowed


class Stretch(NamedTuple):
    """The frames ``first..last``; for a whole recording, ``last`` is the limit of the length."""

    first: int
    last: int
    is_whole: bool


def check_rate(rate_hz: int) -> None:
    """Refuse an impossible rate."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        side, limit_hz = ("below", MIN_RATE_HZ) if rate_hz < MIN_RATE_HZ else ("above", MAX_RATE_HZ)
        raise Refusal(
            f"its sample rate of {rate_hz} Hz is {side} {limit_hz} Hz; correct its header", "rate"
        )


def stretch_of(header: Header, start_s: float, end_s: float | None, limit_s: float) -> Stretch:
    """Return the frames of a stretch; refuse an impossible rate and too great a length."""
    rate_hz = header.rate_hz
    check_rate(rate_hz)
    if (header.frames / rate_hz if end_s is None else end_s) - start_s > limit_s:
        raise _too_long(limit_s)
    first = round(start_s * rate_hz)
    limit = first + int(limit_s * rate_hz) + 1
    return Stretch(first, limit if end_s is None else round(end_s * rate_hz), end_s is None)


def header_s(header: Header, start_s: float, end_s: float | None) -> float:
    """Return the seconds of a stretch by the header; 0 if that is unknown or doubtful."""
    if header.is_cut or header.promised > header.frames:
        return 0.0
    last_s = header.frames / header.rate_hz
    return max(0.0, min(last_s, end_s or last_s) - start_s)


def missing_of(
    header: Header, stretch: Stretch, position: int, damage: Exception | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return warnings and notes on what is missing of ``stretch`` after decoding to ``position``.

    It is a note if very little is missing. Raises Refusal for a recording of which nothing can be
    decoded, and for a stretch outside it.
    """
    rate_hz, (first, last, is_whole) = header.rate_hz, stretch
    if damage is not None and position <= first:
        raise Refusal(
            f"cannot be read: damaged after {position / rate_hz:.2f} s ({reason(damage)});"
            " repair it or remove it",
            "damaged",
        ) from damage
    if not position:
        raise Refusal("has no samples; remove it", "empty")
    if is_whole and position >= last:
        raise _too_long((last - first) / rate_hz)
    is_cut = damage is not None or header.is_cut or position < header.promised - header.slack
    lacks = 0 if is_whole else last - position
    if first >= min(last, position) or (lacks > END_SLACK_S * rate_hz and not is_cut):
        end = "the end" if is_whole else f"{last / rate_hz:g} s"
        raise Refusal(
            f"the stretch from {first / rate_hz:g} s to {end} is not inside the recording, which"
            f" has {position / rate_hz:.3f} s at {rate_hz} Hz; correct start and end",
            "stretch",
        )
    if position >= last or not is_cut:
        return (), ()
    why = "the file ends" if damage is None else reason(damage)
    end_s = (header.promised if is_whole else last) / rate_hz
    rest_s = end_s - position / rate_hz
    length = f"{rest_s:.2f} s" if rest_s >= 0.1 else f"{1000 * rest_s:.2g} ms"
    rest = f"{length} of {end_s:.2f} s are missing" if rest_s > 0 else "the rest is missing"
    text = f"cut short or damaged after {position / rate_hz:.2f} s ({why}); {rest}."
    is_tiny = 0 < rest_s < max(min(most_s, share * end_s) for most_s, share in TINY)
    return ((), (text,)) if is_tiny else ((text,), ())


def limit_of(samples_per_s: int | None) -> float:
    """Return how many seconds may be decoded, given the samples per second that stay in memory.

    None means that nothing stays in memory.
    """
    most_s = _setting("EARMARK_MAX_SECONDS", MAX_SECONDS)
    if samples_per_s is None:
        return most_s
    return min(most_s, _setting("EARMARK_MAX_BYTES", MAX_BYTES) / (4 * samples_per_s))


def _setting(name: str, default: float) -> float:
    text = os.environ.get(name) or str(default)
    try:
        if (value := float(text)) > 0:
            return value
    except ValueError:
        pass
    raise EarmarkError(f"{name} is {text!r}. Set it to a number above 0, or unset it.")


def _too_long(limit_s: float) -> Refusal:
    is_time = limit_s >= _setting("EARMARK_MAX_SECONDS", MAX_SECONDS)
    shown = f"{limit_s:.4g} s" if limit_s < 3600 else f"{limit_s / 3600:.4g} h"
    name = "EARMARK_MAX_SECONDS" if is_time else "EARMARK_MAX_BYTES"
    return Refusal(
        f"longer than {shown}, the most that {name} allows; use stretches of it (start and end), or"
        f" raise {name}",
        "length",
    )
