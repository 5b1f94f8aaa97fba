"""Clock times from the names of recordings."""

import zoneinfo
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.data.clock import begins_at, time_at, zone_of
from earmark.errors import DataError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("20190522_000000.WAV", "2019-05-22T00:00:00"),  # AudioMoth
        ("20190522_000000T.WAV", "2019-05-22T00:00:00"),  # started by a sound
        ("5CE4F2B0.WAV", "2019-05-22T06:56:48+00:00"),
        ("5DFB6DFC.WAV", "2019-12-19T12:33:00+00:00"),  # of the tests of aru_metadata_parser
        ("S4A03895_20190522_013000.flac", "2019-05-22T01:30:00"),  # Song Meter
        ("S1001_20210715_054950.357-0600.wav", "2021-07-15T05:49:50.357000-06:00"),  # Swift
        ("20160821T063000+1000_REC [-27.38 152.87].flac", "2016-08-21T06:30:00+10:00"),
        (
            "S20210205T035946676+1000_E20210205T040446501+1000_-08.0000+000.0000.wav",
            "2021-02-05T03:59:46.676000+10:00",
        ),
        ("2022-04-23-birdnet-15:30:22.wav", "2022-04-23T15:30:22"),  # BirdNET-Pi
        ("2022-04-23-birdnet-RTSP_1-15:30:22.wav", "2022-04-23T15:30:22"),
        ("Owl-77-2022-03-22-birdnet-15:04:28.mp3", "2022-03-22T15:04:28"),
        ("Queens_20230502_010000_Z.WAV", "2023-05-02T01:00:00+00:00"),
        ("G024_V1_C2065_U1_20210510_180000Z.flac", "2021-05-10T18:00:00+00:00"),
        ("5146.191219123300.wav", "2019-12-19T12:33:00"),  # SoundTrap
        ("2019-05-22_01-02-03.flac", "2019-05-22T01:02:03"),
        ("2025-07-14 08.55.26.wav", "2025-07-14T08:55:26"),
        ("20260111 135431-096B2196.m4a", "2026-01-11T13:54:31"),
        ("20190522010203.wav", "2019-05-22T01:02:03"),
        ("20190522_000000.3gp", "2019-05-22T00:00:00"),  # the suffix is no fraction
        ("20190522_010000-20190522_020000.wav", "2019-05-22T01:00:00"),  # nor the end an offset
        ("20190522_010000-0001.wav", "2019-05-22T01:00:00"),  # nor the number of a part
        ("99999999_999999_20190522_010203.wav", "2019-05-22T01:02:03"),
        ("/sites/20180101_000000/20190522_010203.wav", "2019-05-22T01:02:03"),
        (r"D:\sites\20190522_010203.wav", "2019-05-22T01:02:03"),
        ("/sites/20180101_000000/first.wav", None),
        ("20190230_000000.wav", None),
        ("20190522_240000.wav", None),
        ("20190522_006000.wav", None),
        ("20190522.wav", None),
        ("120190522_000000.wav", None),
        ("20190522_0000001.wav", None),
        ("5ce4f2b0.wav", None),  # a hash
        ("20190522.WAV", None),  # hexadecimal, but of 1986
        ("3-152007-A.ogg", None),
        ("", None),
    ],
)
def test_names_that_recorders_give(name: str, expected: str | None) -> None:
    begins = begins_at(name)
    assert (begins and begins.isoformat()) == expected


def test_a_time_zone_is_added_or_converted_to() -> None:
    berlin = begins_at("20190522_000000.WAV", "Europe/Berlin")
    assert berlin is not None and berlin.isoformat() == "2019-05-22T00:00:00+02:00"
    winter = begins_at("20190122_000000.WAV", "Europe/Berlin")
    assert winter is not None and winter.isoformat() == "2019-01-22T00:00:00+01:00"
    utc = begins_at("20190522_000000Z.wav", "+02:00")
    assert utc is not None and utc.isoformat() == "2019-05-22T02:00:00+02:00"
    hexadecimal = begins_at("5CE4F2B0.WAV", "-0330")
    assert hexadecimal is not None and hexadecimal.isoformat() == "2019-05-22T03:26:48-03:30"
    assert zone_of("UTC") == zone_of("Z") == timezone.utc


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Europe/Berln", "no time zone 'Europe/Berln' is known. Did you mean 'Europe/Berlin'?"),
        ("Mars", "no time zone 'Mars' is known. Give a name such as Europe/Berlin"),
        ("America", "no time zone 'America' is known."),
        ("../../etc/passwd", "no time zone '../../etc/passwd' is known."),
        ("", "no time zone '' is known."),
        ("+25:00", "'+25:00' is not an offset from UTC, which is at most 14 hours."),
        ("+01:70", "'+01:70' is not an offset from UTC"),
    ],
)
def test_unknown_time_zones_are_refused(zone: str, expected: str) -> None:
    with pytest.raises(DataError) as refused:
        begins_at("20190522_000000.WAV", zone)
    assert expected in str(refused.value)


def test_a_machine_without_time_zones_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", missing)
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    with pytest.raises(DataError, match="Run: pip install tzdata, or give an offset"):
        zone_of("Africa/Nairobi")
    assert zone_of("+03:00").utcoffset(None) == timedelta(hours=3)


def test_hours_go_on_when_the_clocks_change() -> None:
    before = begins_at("20190331_010000.WAV", "Europe/Berlin")
    assert before is not None
    assert time_at(before, 7200.0004).isoformat() == "2019-03-31T04:00:00+02:00"
    assert time_at(before.replace(tzinfo=None), 7200).isoformat() == "2019-03-31T03:00:00"


@given(st.datetimes(datetime(1970, 1, 1), datetime(2099, 12, 31)), st.integers(-56, 56))
def test_every_time_is_read_back(time: datetime, quarters: int) -> None:
    time = time.replace(microsecond=0)
    offset = timezone(timedelta(minutes=15 * quarters))
    for form in ("%Y%m%d_%H%M%S", "%Y-%m-%d_%H-%M-%S", "%Y%m%dT%H%M%S", "%Y-%m-%dT%H:%M:%S"):
        assert begins_at(f"site7_{time.strftime(form)}.wav") == time
        aware = time.replace(tzinfo=offset)
        assert begins_at(f"site7_{aware.strftime(form + '%z')}.wav") == aware
