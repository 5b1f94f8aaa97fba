"""Events as truth: recordings without events, overlaps, annotated stretches, and counts."""

import itertools
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_files import RATE, encode, noise
from earmark.data.dataset import Dataset
from earmark.data.event import Event, RecordingEvents
from earmark.data.event_counts import counts
from earmark.data.event_files import write_each
from earmark.data.event_reading import read_events
from earmark.errors import DataError

HEAD = "path,start,end,label\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a.wav and b.wav of two seconds."""
    for number, name in enumerate(("a.wav", "b.wav")):
        (tmp_path / name).write_bytes(encode(noise(2 * RATE, seed=number), "WAV"))
    return tmp_path


def table(folder: Path, text: str, name: str = "t.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def refusal(source: object, **options: object) -> str:
    with pytest.raises(DataError) as refused:
        read_events(source, **options)  # type: ignore[arg-type]
    return str(refused.value)


def test_events_overlap_and_equal_rows_count_once(folder: Path) -> None:
    text = HEAD + "b.wav,1,2,x\na.wav,,,\nb.wav,0.5,1.5,y\nb.wav,1.0,2.00,x\nb.wav,1,2,y\n"
    scored = HEAD.strip() + ",score\nb.wav,1,2,x,0.9\nb.wav,1,2,x,0.5\n"
    assert read_events(table(folder, scored))[0].events == (Event(1, 2, "x", 0.9),)
    first, second = read_events(table(folder, text))
    events = (Event(0.5, 1.5, "y"), Event(1, 2, "x"), Event(1, 2, "y"))
    assert first == RecordingEvents(str(folder / "b.wav"), 2.0, events)
    assert second == RecordingEvents(str(folder / "a.wav"), 2.0, ())
    (only,) = read_events(table(folder, HEAD + "a.wav,,,\n"))
    assert only.events == ()
    frame = pd.DataFrame({"path": ["b.wav"], "start": [1.0], "end": [2.0], "label": ["x"]})
    assert read_events(frame, root=folder)[0].events == (Event(1, 2, "x"),)


def test_rows_without_times_are_whole_recordings(folder: Path) -> None:
    (recording,) = read_events(table(folder, HEAD + "a.wav,,,x\na.wav,0.5,,y\na.wav,,1,z\n"))
    assert recording.events == (Event(0, 1, "z"), Event(0, 2, "x"), Event(0.5, 2, "y"))
    (folder / "c.wav").write_bytes(b"damaged")
    said = refusal(table(folder, HEAD + "c.wav,,,x\n"))
    assert "row 2: the event from 0 s to the end is not inside the recording" in said
    assert said.endswith("c.wav', which has an unknown length. Correct start and end.")


def test_several_classes_in_one_stretch_are_events_of_their_own(folder: Path) -> None:
    file = table(folder, HEAD + "a.wav,0,1,x|y\na.wav,1,2,x\nb.wav,0,1,\n")
    first, second = read_events(file, separator="|")
    assert first.events == (Event(0, 1, "x"), Event(0, 1, "y"), Event(1, 2, "x"))
    assert second.events == ()  # of no class, as in Dataset.read
    assert "row 4: 'b.wav' has an empty label. Label it, or remove the row." in refusal(file)
    lists = '{"path": "a.wav", "start": 0, "end": 1, "label": ["x", "y"]}\n'
    assert len(read_events(table(folder, lists, "t.jsonl"))[0].events) == 2


@pytest.mark.parametrize(
    ("cell", "score"), [("0.25", 0.25), ("", 1.0), ("1", 1.0), ("high", None), ("1.5", None)]
)
def test_scores(folder: Path, cell: str, score: float | None) -> None:
    file = table(folder, f"path,start,end,label,Score\na.wav,0,1,x,{cell}\n")
    if score is None:
        assert f"row 2: the Score '{cell}' is not a number from 0 to 1. Correct" in refusal(file)
    else:
        assert read_events(file)[0].events[0].score == score


def test_tables_of_other_programs(folder: Path) -> None:
    """As BirdNET-Analyzer and Kaleidoscope write them (issues 384, 855 and pull request 856)."""
    raven = (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"
        "Common Name\tSpecies Code\tConfidence\tBegin Path\tFile Offset (s)\n"
        "1\tSpectrogram 1\t1\t0.6000000000694\t1.6000000000694\t0\t8000.0\tWaldkauz\ttawowl1\t"
        f"0.0974\t{folder}/a.wav\t0.6000000000694\n"
        f"2\tSpectrogram 1\t1\t2.5\t3.5\t0\t8000.0\tAmsel\teurbla\t0.9\t{folder}/b.wav\t0.5\n"
    )
    first, second = read_events(table(folder, raven, "all.selection.table.txt"))
    assert first.events == (Event(0.6, 1.6, "Waldkauz", 0.0974),)
    assert second.events == (Event(0.5, 1.5, "Amsel", 0.9),)
    birdnet = (
        "INDIR,FOLDER,IN FILE,OFFSET,DURATION,scientific_name,TOP1MATCH,TOP1DIST\n"
        f"{folder.parent},{folder.name},a.wav,1.1,0.2,Strix aluco,Waldkauz,0.8123\n"
    )
    file = table(folder, birdnet)
    assert read_events(file, label="TOP1MATCH")[0].events == (Event(1.1, 1.3, "Waldkauz", 0.8123),)
    kaleidoscope = (
        "INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,Fmean,TOP1MATCH,TOP1DIST,MANUAL ID\n"
        f"{folder.parent},{folder.name},a.wav,0,1.0,0.5,2112,cluster 3,1.7,owl\n"
    )
    (recording,) = read_events(table(folder, kaleidoscope))
    assert recording.events == (Event(1.0, 1.5, "owl", 1.0),)  # there, it is a distance


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("a.wav,1,2.05,x", None),
        ("a.wav,1,2.06,x", "the event from 1 s to 2.06 s is not inside the recording"),
        ("a.wav,2.01,2.04,x", "the event from 2.01 s to 2.04 s is not inside the recording"),
        ("a.wav,1,1,x", "end 1 is not after start 1"),
        ("a.wav,-1,1,x", "start -1 is negative"),
        ("a.wav,one,2,x", "start 'one' is not a number of seconds"),
        ("gone.wav,0,1,x", "1 of 1 row names a recording that does not exist"),
    ],
)
def test_events_must_lie_in_their_recordings(folder: Path, row: str, expected: str | None) -> None:
    file = table(folder, f"{HEAD}{row}\n")
    if expected is None:
        assert read_events(file)[0].events == (Event(1, 2.05, "x"),)
    else:
        assert expected in refusal(file)


def test_annotated_stretches_are_near_events(folder: Path) -> None:
    file = table(folder, HEAD + "a.wav,0.2,0.4,x\na.wav,0.3,0.5,y\na.wav,1.5,1.9,x\nb.wav,,,\n")
    assert [r.regions for r in read_events(file)] == [None, None]
    near, none = read_events(file, annotated=0.25)
    assert near.regions == (pytest.approx((0, 0.75)), pytest.approx((1.25, 2.0)))
    assert none.regions == ()
    assert read_events(file, annotated=0.5)[0].regions == ((0.0, 2.0),)
    assert read_events(file, annotated=0)[0].regions == ((0.2, 0.5), (1.5, 1.9))
    assert "the margin of annotated stretches, -1, is not a number" in refusal(file, annotated=-1)


@given(st.lists(st.tuples(st.integers(0, 180), st.integers(1, 20))), st.integers(0, 50))
def test_regions_are_sorted_apart_and_hold_every_event(
    spans: list[tuple[int, int]], margin: int
) -> None:
    from earmark.data.event_reading import around_events

    events = [Event(start, start + n, "x") for start, n in spans]
    regions = around_events(events, margin, 200)
    assert all(a < b for a, b in regions)
    assert all(first[1] < second[0] for first, second in itertools.pairwise(regions))
    for event in events:
        start, end = max(0, event.start - margin), min(200, event.end + margin)
        assert any(a <= start and end <= b for a, b in regions)
    inside = {t for e in events for t in range(int(e.start) - margin, int(e.end) + margin)}
    assert sum(b - a for a, b in regions) == len(inside & set(range(200)))


def test_tracks_may_lie_in_sub_folders(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("site 10/x.wav", "site 2/x.wav", "y.wav")]
    recordings = []
    for place in places:
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(encode(noise(RATE), "WAV"))
        events = (Event(0.25, 0.5, place.parent.name),) if place.stem == "x" else ()
        recordings.append(RecordingEvents(str(place), 1.0, events))
        write_each(recordings[-1], tmp_path, "audacity", tmp_path)
    assert read_events(tmp_path) == [recordings[1], recordings[0], recordings[2]]
    (tmp_path / "site 2" / "x.wav.txt").unlink()
    said = refusal(tmp_path)
    assert "site 2/x.wav has no label track beside it, unlike the recordings in" in said


def test_clock_times_come_from_names(tmp_path: Path) -> None:
    (tmp_path / "A_20190522_013000.wav").write_bytes(encode(noise(RATE), "WAV"))
    file = table(tmp_path, HEAD + "A_20190522_013000.wav,0,1,x\n")
    (recording,) = read_events(file, timezone="+02:00")
    assert recording.begins_at == datetime(2019, 5, 21, 23, 30, tzinfo=timezone.utc)
    assert read_events(file)[0].begins_at == datetime(2019, 5, 22, 1, 30)
    assert "no time zone 'Mars' is known" in refusal(file, timezone="Mars")


def test_what_is_not_a_table_of_events(tmp_path: Path) -> None:
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "a.wav").write_bytes(encode(noise(RATE), "WAV"))
    assert "is a folder without label tracks. Give a folder of recordings" in refusal(tmp_path)
    assert "the name of the events is empty" in refusal(" ")
    assert "has no column 'label'" in refusal(table(tmp_path, "path,start,end\na.wav,0,1\n"))
    assert "has no rows. Write one row per event." in refusal(table(tmp_path, HEAD))
    assert "does not exist" in refusal(tmp_path / "none.csv")


def test_a_manifest_of_clips_still_needs_every_label(folder: Path) -> None:
    """A row with only a path is a recording without events beside stretches, not beside clips."""
    clips = table(folder, "path,start,end,label\na.wav,,,x\nb.wav,,,\n")
    with pytest.raises(DataError, match=r"row 3: 'b.wav' has an empty label. Label it, or"):
        Dataset.read(clips, least_classes=1)
    stretches = table(folder, HEAD + "a.wav,0,1,x\nb.wav,,,\n")
    data = Dataset.read(stretches, least_classes=1)
    assert len(data) == 1 and "1 row has only a path: no clip is read from there" in data.notes
    assert len(Dataset.read(stretches, least_classes=1, separator=";")) == 2  # b.wav of no class


def test_counts_by_hour() -> None:
    lark, owl = (Event(t, t + 1, "lark") for t in (10, 3590, 3600)), Event(1799, 1801, "owl")
    clock = datetime(2026, 5, 1, 23, 30, tzinfo=timezone(timedelta(hours=2)))
    recordings = [
        RecordingEvents("a.wav", 5400, (*lark, owl), None, clock),
        RecordingEvents("b.wav", 3600, (owl,), ((0, 600), (1200, 2400)), clock.replace(day=7)),
        RecordingEvents("c.wav", 4000, (Event(3700, 3800, "fox"),)),
        RecordingEvents("d.wav", 0, (Event(1, 2, "fox"),)),
    ]
    rows = [(row.hour, round(row.seconds), dict(row.events)) for row in counts(recordings)]
    assert rows == [
        ("00:00", 3600 + 600, {"lark": 2}),
        ("23:00", 1800 + 600 + 600, {"lark": 1, "owl": 2}),
        ("hour 1", 3600, {"fox": 1}),
        ("hour 2", 400, {"fox": 1}),
    ]
    assert counts([]) == []


@given(st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)), st.floats(0, 200_000))
def test_the_seconds_of_all_hours_are_those_of_the_recording(
    begins: datetime, seconds: float
) -> None:
    rows = counts([RecordingEvents("a.wav", seconds, (), None, begins)])
    assert sum(row.seconds for row in rows) == pytest.approx(seconds, abs=1e-6)
    assert len(rows) <= 24 and all(
        row.seconds < 3600 * (seconds // 86_400 + 1) + 1e-6 for row in rows
    )
