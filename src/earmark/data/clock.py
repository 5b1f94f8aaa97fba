"""Clock times of recordings, from the names that recorders give to their files.

The time of a file on disk is never used: copying, unpacking and syncing change it.
"""

from __future__ import annotations

import contextlib
import functools
import re
import zoneinfo
from datetime import datetime, timedelta, timezone, tzinfo

from earmark.errors import DataError, did_you_mean

# What recorders of the field write:
#   20190522_000000.WAV, 20190522_000000T.WAV  AudioMoth (T: triggered)
#   S4A03895_20190522_000000.flac              Song Meter
#   S1001_20210715_054950.357-0600.wav         Swift: milliseconds and an offset
#   20160821T063000+1000_REC.wav               Frontier Labs
#   S20210205T035946676+1000_E20210205T...     Frontier Labs: milliseconds without a point
#   2022-04-23-birdnet-15:30:22.wav            BirdNET-Pi, also -birdnet-RTSP_1-15:30:22
_STAMP = re.compile(
    r"(?<!\d)((?:19[7-9]|20\d)\d)([-_.]?)(\d\d)\2(\d\d)"  # date
    r"(?:[T_ $-]|-birdnet-(?:RTSP_\d+-)?|(?=\d{6}(?!\d)))"
    r"(\d\d)([-_.:]?)(\d\d)\6(\d\d)"  # time of day
    r"(?:(\d{3})(?!\d)|[.,](\d{1,6})(?=Z|UTC|[-+_. ]|$)|(?!\d))"  # fraction of a second
)
_OFFSET = re.compile(r"_?(?:(?:Z|UTC)(?![A-Za-z])|([+-])(\d\d):?(00|15|30|45)(?!\d))")
_SOUND_TRAP = re.compile(r"\d{3,10}\.(\d{12})(?!\d)")  # serial number, then yymmddHHMMSS
_HEXADECIMAL = re.compile(r"([0-9A-F]{8})\.WAV")  # AudioMoth until 2019: seconds since 1970
_FIRST_AUDIO_MOTH = datetime(2015, 1, 1, tzinfo=timezone.utc)

_ZONE = re.compile(r"([+-])(\d{1,2})(?::?(\d\d))?")
_MOST_OFFSET = timedelta(hours=14)


def begins_at(name: str, timezone: str | None = None) -> datetime | None:
    """Return the clock time of a recording's first sample by its name, or None.

    Parameters
    ----------
    name : str
        The name of the file, or its path, of which only the last part counts.
    timezone : str, optional
        Where the clock of the recorder was set: a name such as ``Europe/Berlin``, or an offset such
        as ``+02:00``. A time that has its own offset is converted to this zone.

    Returns
    -------
    datetime or None
        With an offset if ``timezone`` or the name tells one, else without. None if the name has no
        date with a time of day, or one that does not exist, such as 30 February.

    Raises
    ------
    DataError
        If no such time zone is known.

    Examples
    --------
    >>> from earmark.data.clock import begins_at
    >>> begins_at("S4A03895_20190522_013000.flac", "+02:00").isoformat()
    '2019-05-22T01:30:00+02:00'
    """
    zone = None if timezone is None else zone_of(timezone)
    last = re.split(r"[/\\]", name)[-1]
    time = _stamped(last) or _sound_trap(last) or _hexadecimal(last)
    if time is None or zone is None:
        return time
    return time.replace(tzinfo=zone) if time.tzinfo is None else time.astimezone(zone)


def time_at(begins: datetime, seconds: float) -> datetime:
    """Return the clock time ``seconds`` after ``begins``, to the millisecond.

    With a time zone, the sum of Python is off by an hour once the clocks have changed in between.
    """
    later = timedelta(milliseconds=round(seconds * 1000))
    if begins.tzinfo is None:
        return begins + later
    return (begins.astimezone(timezone.utc) + later).astimezone(begins.tzinfo)


@functools.lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name or its offset; DataError if none is known."""
    if name in ("UTC", "Z"):
        return timezone.utc
    if match := _ZONE.fullmatch(name):
        sign, hours, minutes = match.groups("0")
        if (zone := _fixed(sign, hours, minutes)) is not None:
            return zone
        raise DataError(
            f"the time zone {name!r} is not an offset from UTC, which is at most 14 hours. Give one"
            " such as +02:00, or a name such as Europe/Berlin."
        )
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # OSError: the name is a folder
        known = zoneinfo.available_timezones()
        if not known:
            raise DataError(
                f"the time zone {name!r} cannot be looked up, because this machine has no list of"
                " time zones. Run: pip install tzdata, or give an offset such as +02:00."
            ) from error
        raise DataError(
            f"no time zone {name!r} is known.{did_you_mean(name, known)} Give a name such as"
            " Europe/Berlin, or an offset such as +02:00."
        ) from error


def _fixed(sign: str, hours: str, minutes: str) -> timezone | None:
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if offset > _MOST_OFFSET or int(minutes) >= 60:
        return None
    return timezone(-offset if sign == "-" else offset)


def _stamped(name: str) -> datetime | None:
    """Return the first date with a time of day in a name."""
    for match in _STAMP.finditer(name):
        year, _, month, day, hour, _, minute, second, milliseconds, fraction = match.groups()
        micros = int((milliseconds or fraction or "0").ljust(6, "0"))
        numbers = map(int, (year, month, day, hour, minute, second))
        with contextlib.suppress(ValueError):
            time = datetime(*numbers)  # type: ignore[arg-type]
            return time.replace(microsecond=micros, tzinfo=_offset(name, match.end()))
    return None


def _offset(name: str, at: int) -> timezone | None:
    """Return the offset from UTC that follows a time; -0001 may be a part's number instead."""
    match = _OFFSET.match(name, at)
    if match is None:
        return None
    sign, hours, minutes = match.groups()
    return _fixed(sign, hours, minutes) if sign else timezone.utc


def _sound_trap(name: str) -> datetime | None:
    match = _SOUND_TRAP.match(name)
    with contextlib.suppress(ValueError):
        return datetime.strptime(match[1], "%y%m%d%H%M%S") if match else None
    return None


def _hexadecimal(name: str) -> datetime | None:
    match = _HEXADECIMAL.fullmatch(name)
    time = datetime.fromtimestamp(int(match[1], 16), timezone.utc) if match else None
    return None if time is None or time < _FIRST_AUDIO_MOTH else time
