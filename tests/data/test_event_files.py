"""Events in the formats of people's tools, written and read back."""

import csv
import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_files import RATE, encode, noise
from earmark.data.clip import bare
from earmark.data.dataset import Dataset
from earmark.data.event import Event, RecordingEvents
from earmark.data.event_files import (
    FORMATS,
    SUFFIXES,
    check_label,
    events_path,
    write_each,
    write_events,
)
from earmark.data.event_reading import read_events
from earmark.data.label_cells import text_list
from earmark.errors import DataError, EarmarkError
from shared_data import shared_data

SECONDS = 2.0
TABLES = [name for name in FORMATS if name != "audacity"]
KEEP_EMPTY = ("csv", "json", "parquet")  # formats of tables that have recordings without events


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings of two seconds, two of which have the same name."""
    folder = tmp_path_factory.mktemp("recordings")
    content = encode(noise(int(SECONDS * RATE), seed=1), "WAV")
    for name in ("a/20190522_010000.wav", "b/20190522_010000.wav", "b/c, d's ü.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def of(path: Path, *events: Event, begins_at: datetime | None = None) -> RecordingEvents:
    return RecordingEvents(str(path), SECONDS, events, None, begins_at)


def some(folder: Path) -> list[RecordingEvents]:
    begins = datetime(2019, 5, 22, 1)
    return [
        of(folder / "a" / "20190522_010000.wav", begins_at=begins),
        of(
            folder / "b" / "20190522_010000.wav",
            Event(0.25, 1.0, 'a "call"', 1.0),
            Event(0.25, 1.0, "song, long", 0.5),
            Event(0.5, 1.75, "song, long", 0.875),
            begins_at=begins,
        ),
        of(folder / "b" / "c, d's ü.wav", Event(0.0, 2.0, "über"), Event(1.1, 1.3, "x", 0.1234)),
    ]


@pytest.mark.parametrize("format", TABLES)
def test_a_table_of_all_recordings_is_read_back(folder: Path, format: str, tmp_path: Path) -> None:
    recordings, table = some(folder), tmp_path / f"all{SUFFIXES[format]}"
    write_events(iter(recordings), table, format)
    expected = recordings if format in KEEP_EMPTY else recordings[1:]
    assert read_events(table) == expected
    again = tmp_path / f"again{SUFFIXES[format]}"
    write_events(recordings, again, format)
    assert again.read_bytes() == table.read_bytes()


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_for_each_recording_is_read_back(folder: Path, format: str, tmp_path: Path) -> None:
    recordings = some(folder)
    files = [write_each(recording, tmp_path, format, folder) for recording in recordings]
    assert len(set(files)) == 3
    assert files[0] == tmp_path / "a" / f"20190522_010000.wav{SUFFIXES[format]}"
    for recording, file in zip(recordings, files, strict=True):
        beside = Path(recording.path).parent
        expected = recording.events
        if format == "audacity":  # has no scores
            expected = tuple(sorted(Event(e.start, e.end, e.label) for e in expected))
        elif format == "kaleidoscope" and not expected:
            with pytest.raises(DataError, match="has no rows. Write one row per event"):
                read_events(file)
            continue
        root = beside if format in ("audacity", "raven") else None
        (got,) = read_events(file, root=root)
        assert (got.path, got.events) == (recording.path, expected)


@pytest.mark.parametrize("format", TABLES)
def test_what_is_written_can_be_trained_on(folder: Path, format: str, tmp_path: Path) -> None:
    first, second, third = some(folder)
    single = [first, of(Path(second.path), Event(0.25, 1.0, "y")), third]
    write_events(single, tmp_path / f"t{SUFFIXES[format]}", format)
    data = Dataset.read(tmp_path / f"t{SUFFIXES[format]}")
    assert sorted((c.place, c.start, round(c.end or 0, 9), c.label) for c in data) == sorted(
        (r.path, e.start, e.end, e.label) for r in single for e in r.events
    )
    told = [note for note in data.notes if "1 row has only a path: no clip" in note]
    assert len(told) == (format in KEEP_EMPTY)


@pytest.mark.parametrize("name", ["a.txt", "a.wav.txt"])
def test_tracks_beside_recordings_can_be_trained_on(tmp_path: Path, name: str) -> None:
    for stem in "abc":
        (tmp_path / f"{stem}.wav").write_bytes(encode(noise(RATE), "WAV"))
    (tmp_path / "b.wav.txt").write_text("0.1\t0.5\tx\n0.5\t0.8\ty\n")
    (tmp_path / "c.Table.1.selections.txt").write_text("Begin Time (s)\tEnd Time (s)\tAnnotation\n")
    (tmp_path / name).write_text("\n \n" if name == "a.txt" else "")
    data = Dataset.read(tmp_path)
    assert [(clip.path.name, clip.label) for clip in data] == [("b.wav", "x"), ("b.wav", "y")]
    assert data.notes == ("2 recordings have empty label tracks: no clip is read from there",)
    recordings = read_events(tmp_path)
    assert [(Path(r.path).name, len(r.events)) for r in recordings] == [
        ("a.wav", 0),
        ("b.wav", 2),
        ("c.wav", 0),
    ]
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=r"a.wav has no label track beside it, unlike 2 recordings"):
        Dataset.read(tmp_path)


labels = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
times = st.integers(0, 1_900)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(times, st.integers(1, 100), labels, st.integers(0, 10_000))))
def test_any_label_is_read_back_or_refused(
    folder: Path, tmp_path: Path, parts: list[tuple[int, int, str, int]]
) -> None:
    unfit: dict[str, DataError] = {}
    scores = {(s / 1e3, (s + n) / 1e3, name): score / 1e4 for s, n, name, score in parts}
    events = [Event(*span, score) for span, score in sorted(scores.items())]
    recording = of(folder / "b" / "c, d's ü.wav", *events)
    for format in TABLES:
        table = tmp_path / f"any{SUFFIXES[format]}"
        try:
            write_events([recording], table, format)
        except DataError as error:
            unfit[format] = error
            continue
        if events or format in KEEP_EMPTY:
            assert read_events(table) == [recording]
    names = [event.label for event in events]
    is_odd = any(bare(name) != name or text_list(name) is not None for name in names)
    has_breaks = any({"\t", "\n", "\r"} & set(event.label) for event in events)
    assert set(unfit) == (set(TABLES) if is_odd else {"raven"} if has_breaks else set())


def test_golden_files(tmp_path: Path) -> None:
    """Byte for byte; the columns of Raven and Kaleidoscope are those that the tools read."""
    begins = datetime(2019, 5, 22, 23, 59, 59, tzinfo=timezone.utc)
    one = RecordingEvents(
        str(tmp_path / "a" / "x.wav"), 60.0004, (Event(1, 2.00049, "owl", 1 / 3),)
    )
    none = RecordingEvents(str(tmp_path / "a" / "y.wav"), 30, (), ((0, 10), (20, 30)))
    two = RecordingEvents(str(tmp_path / "z.wav"), 9, (Event(0.5, 0.5001, "fox"),), None, begins)
    expected = {
        "csv": "path,start,end,label,score,time\na/x.wav,1.000,2.000,owl,0.3333,\na/y.wav,,,,,\n"
        "z.wav,0.500,0.501,fox,1.0000,2019-05-22T23:59:59.500+00:00\n",
        "raven": "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq"
        " (Hz)\tBegin Path\tBegin File\tFile Offset (s)\tAnnotation\tConfidence\n"
        "1\tSpectrogram 1\t1\t1.000\t2.000\t0.0\t12000.0\tTMP/a/x.wav\tx.wav\t1.000\towl\t0.3333\n"
        "2\tSpectrogram 1\t1\t90.500\t90.501\t0.0\t12000.0\tTMP/z.wav\tz.wav\t0.500\tfox\t1.0000\n",
        "kaleidoscope": "INDIR,FOLDER,IN FILE,OFFSET,DURATION,TOP1MATCH,TOP1DIST\n"
        "TMP,a,x.wav,1.000,1.000,owl,0.3333\n"
        f"{tmp_path.parent},{tmp_path.name},z.wav,0.500,0.001,fox,1.0000\n",
        "json": '{"schema": 1, "recordings": [\n'
        '{"path": "a/x.wav", "seconds": 60.000, "begins_at": null, "regions": null, "events": [\n'
        '  {"start": 1.000, "end": 2.000, "label": "owl", "score": 0.3333}]},\n'
        '{"path": "a/y.wav", "seconds": 30.000, "begins_at": null, "regions": [[0.000, 10.000],'
        ' [20.000, 30.000]], "events": []},\n'
        '{"path": "z.wav", "seconds": 9.000, "begins_at": "2019-05-22T23:59:59.000+00:00",'
        ' "regions": null, "events": [\n'
        '  {"start": 0.500, "end": 0.501, "label": "fox", "score": 1.0000,'
        ' "time": "2019-05-22T23:59:59.500+00:00"}]}\n]}\n',
    }
    for format, text in expected.items():
        write_events([one, none, two], tmp_path / "t", format)
        assert (tmp_path / "t").read_text() == text.replace("TMP", str(tmp_path)), format
    write_each(one, tmp_path / "out", "audacity", tmp_path)
    assert (tmp_path / "out" / "a" / "x.wav.txt").read_text() == "1.000\t2.000\towl\n"
    write_events([one], tmp_path / "t.csv", "csv")  # without a clock, there is no such column
    assert (tmp_path / "t.csv").read_text().startswith("path,start,end,label,score\n")


def test_json_tells_what_the_recording_itself_does_not(tmp_path: Path) -> None:
    begins = datetime(2020, 1, 1, tzinfo=timezone.utc)
    (tmp_path / "x.wav").write_bytes(b"damaged")
    events = (Event(1, 2, "owl", 0.25),)
    path = str(tmp_path / "x.wav")
    recordings = [RecordingEvents(path, 9, events, ((0, 3),), begins)]
    write_events(recordings, tmp_path / "t.json", "json")
    assert read_events(tmp_path / "t.json") == recordings
    assert json.loads((tmp_path / "t.json").read_text())["schema"] == 1
    text = (tmp_path / "t.json").read_text()
    write_events([], tmp_path / "t.json", "json")
    with pytest.raises(DataError, match="has no rows. Write one row per event"):
        read_events(tmp_path / "t.json")
    for old, new in (('"events"', '"event"'), ("[[0.000, 3.000]]", "[3]"), ("9.000", '"x"')):
        (tmp_path / "t.json").write_text(text.replace(old, new))
        with pytest.raises(DataError, match="Write the file again"):
            read_events(tmp_path / "t.json")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text there")
def test_a_path_that_is_not_utf8_survives_or_is_refused(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    path.write_bytes(encode(noise(RATE), "WAV"))
    recording = RecordingEvents(str(path), 1.0, (Event(0, 0.5, "crème"),))
    for format in ("csv", "raven", "kaleidoscope", "json"):
        write_events([recording], tmp_path / f"t{SUFFIXES[format]}", format)
        assert read_events(tmp_path / f"t{SUFFIXES[format]}") == [recording], format
    with pytest.raises(DataError, match=r"caf\\xe9.wav' cannot be written in the format parquet"):
        write_events([recording], tmp_path / "t.parquet", "parquet")
    assert not (tmp_path / "t.parquet").exists()


@pytest.mark.parametrize(
    ("format", "label", "reason"),
    [
        ("csv", " owl", "begins or ends with a blank"),
        ("csv", "", "is empty"),
        ("json", "o\0l", "has a NUL character"),
        ("parquet", "caf\udce9", "has bytes that are not UTF-8"),
        ("csv", "\ud800", "has bytes that are not UTF-8"),
        ("csv", "['owl', 'fox']", "would be read as a list of classes"),
        ("raven", "o\twl", "has a tab or a line break"),
        ("audacity", "o\rwl", "has a tab or a line break"),
        ("xlsx", "owl", "no format 'xlsx' is known. Choose one of csv, raven, audacity, json"),
    ],
)
def test_labels_that_would_break_are_refused(
    tmp_path: Path, format: str, label: str, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        check_label(label, format)
    if format != "audacity":
        (tmp_path / "t").write_text("old")
        with pytest.raises(DataError, match=reason):
            write_events([of(tmp_path / "a.wav", Event(0, 1, label))], tmp_path / "t", format)
        assert [p.name for p in tmp_path.iterdir()] == ["t"]  # the old file, and no part
        assert (tmp_path / "t").read_text() == "old"


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    unknown = RecordingEvents(str(tmp_path / "a.wav"), 0, (Event(0, 1, "owl"),))
    write_events([unknown], tmp_path / "t.txt", "raven")
    with pytest.raises(DataError, match="a.wav has an unknown length, but Raven's times run on"):
        write_events([unknown, of(tmp_path / "b.wav")], tmp_path / "t.txt", "raven")
    with pytest.raises(DataError, match="a label track of Audacity belongs to one recording"):
        write_events([unknown], tmp_path / "t.txt", "audacity")
    with pytest.raises(DataError, match="is not below .*other. Give a folder that has all"):
        events_path(tmp_path / "a.wav", tmp_path, "csv", tmp_path / "other")
    with pytest.raises(DataError, match="the path .*has a tab or a line break"):
        write_events([of(tmp_path / "a\tb.wav")], tmp_path / "t.txt", "raven")
    with pytest.raises(DataError, match="the path .*begins or ends with a blank"):
        write_events([of(tmp_path / " a.wav")], tmp_path / "t.csv", "kaleidoscope")
    nan = float("nan")
    for event in (Event(0, nan, "x"), Event(1, 1, "x"), Event(-1, 1, "x"), Event(0, 1, "x", nan)):
        with pytest.raises(DataError, match=r"Event\(.* in .*a.wav has impossible numbers"):
            write_events([of(tmp_path / "a.wav", event)], tmp_path / "t.json", "json")
    for format in ("csv", "parquet"):
        with pytest.raises(EarmarkError, match="cannot write .*No such file or directory"):
            write_events([unknown], tmp_path / "missing" / "t", format)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot make the folder"):
        write_each(unknown, tmp_path / "file", "csv", tmp_path)


def test_finch_tracks_are_written_back(tmp_path: Path) -> None:
    audio = shared_data("finch") / "audio"
    recordings = read_events(audio)
    assert len(recordings) == 81 and sum(len(r.events) for r in recordings) == 4_159
    with (audio.parent / "meta.csv").open() as file:
        rows = [(row["path"], float(row["start"]), row["label"]) for row in csv.DictReader(file)]
    got = [(f"audio/{Path(r.path).name}", e.start, e.label) for r in recordings for e in r.events]
    assert [(p, name) for p, _, name in got] == [(p, name) for p, _, name in rows]
    assert max(abs(a - b) for (_, a, _), (_, b, _) in zip(got, rows, strict=True)) < 1e-4
    for recording in recordings:
        track = write_each(recording, tmp_path, "audacity", audio.parent)
        (again,) = read_events(track, root=audio)
        assert [e.label for e in again.events] == [e.label for e in recording.events]
        for new, old in zip(again.events, recording.events, strict=True):
            assert abs(new.start - old.start) <= 0.0005 + 1e-9  # some have half milliseconds
            assert abs(new.end - old.end) <= 0.0005 + 1e-9
        text = track.read_text()
        assert write_each(again, tmp_path, "audacity", audio.parent).read_text() == text
