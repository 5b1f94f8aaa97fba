"""Frames, Hugging Face data sets, label tracks and selection tables in, clips out, and back."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio_files import RATE, encode, noise
from earmark import audio
from earmark.data import dataframes
from earmark.data.clip import Clip
from earmark.data.dataframes import read_object
from earmark.data.dataset import Dataset
from earmark.errors import DataError
from earmark.system.cache import cache_folder

ROWS: list[dict[str, Any]] = [
    {"path": "a.wav", "label": "dog", "start": 0.5, "end": 2.0, "group": 7, "fold": 1, "x": 1},
    {"path": "b.wav", "label": "cat", "start": None, "end": 1.25, "group": 8, "fold": 2, "x": 2},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a.wav and b.wav of two seconds."""
    for number, name in enumerate(("a.wav", "b.wav")):
        (tmp_path / name).write_bytes(encode(noise(2 * RATE, seed=number), "WAV"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def clips(folder: Path) -> list[Clip]:
    return [
        Clip(folder / "a.wav", "dog", 0.5, 2.0, "7", "1"),
        Clip(folder / "b.wav", "cat", None, 1.25, "8", "2"),
    ]


def returned(dataset: Dataset, folder: Path, **options: Any) -> Dataset:
    """Write a manifest elsewhere and read it again."""
    (folder / "elsewhere").mkdir(exist_ok=True)
    manifest = folder / "elsewhere" / "again.csv"
    dataset.to_manifest(manifest)
    return Dataset.read(manifest, **options)


def refusal(data: Any, **options: Any) -> str:
    with pytest.raises(DataError) as refused:
        Dataset.read(data, **options)
    text = str(refused.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


# Frames

KINDS = ("pandas", "polars", "lazy", "pyarrow")


def frame_of(kind: str, rows: list[dict[str, Any]]) -> Any:
    """Make a frame of a library; skip the test where that is not installed."""
    library = pytest.importorskip("polars" if kind == "lazy" else kind)
    if kind == "pyarrow":
        return library.Table.from_pylist(rows)
    frame = library.DataFrame(rows)
    return frame.lazy() if kind == "lazy" else frame


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_says_what_a_manifest_says(folder: Path, kind: str) -> None:
    frame = frame_of(kind, ROWS)
    dataset = Dataset.read(frame)
    assert list(dataset) == clips(folder)
    sources = {"lazy": "the polars LazyFrame", "pyarrow": "the pyarrow Table"}
    assert dataset.source == sources.get(kind, f"the {kind} DataFrame")
    assert returned(dataset, folder) == dataset
    named = Dataset.read(frame, label="x", group="label")
    assert [(clip.label, clip.group) for clip in named] == [("1", "dog"), ("2", "cat")]


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_columns_in_use_are_read(folder: Path, kind: str) -> None:
    recordings = [{**row, "audio": {"bytes": b"x"}} for row in ROWS]
    table = read_object(frame_of(kind, recordings), {"path", "end", "start", "speaker"})
    assert table.columns == [*ROWS[0], "audio"]
    assert list(table.rows) == [
        (1, {"path": "a.wav", "start": 0.5, "end": 2.0}),
        (2, {"path": "b.wav", "start": None, "end": 1.25}),
    ]


def test_a_lazy_frame_computes_only_the_columns_in_use(folder: Path) -> None:
    polars = pytest.importorskip("polars")

    def fail(_: object) -> float:
        raise AssertionError("this column is not in use")

    odd = polars.col("x").map_elements(fail, return_dtype=polars.Float64)
    assert list(Dataset.read(frame_of("lazy", ROWS).with_columns(odd=odd))) == clips(folder)


def test_a_pandas_frame_may_have_any_types_and_any_index(folder: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS, index=["p", "q"])
    frame["start"] = pandas.array([None, 1], dtype="Int64")
    frame["end"] = [np.float32(2), float("nan")]
    frame["split"] = pandas.Categorical(["train", "test"])
    frame["odd"] = [object(), object()]
    frame[0] = [1, 2]
    first, second = Dataset.read(frame)
    assert (first.start, first.end, first.split) == (None, 2.0, "train")
    assert (second.start, second.end, second.split) == (1.0, None, "test")


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_may_have_its_paths_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (folder / "away").mkdir()
    monkeypatch.chdir(folder / "away")
    frame = frame_of(kind, ROWS)
    text = refusal(frame)
    assert "Table: 2 of" in text or "Frame: 2 of" in text
    assert ": 2 of 2 rows name a recording that does not exist, first row 1" in text
    assert list(Dataset.read(frame, root=folder)) == clips(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_that_will_not_do(folder: Path, kind: str) -> None:
    def changed(**cells: list[Any]) -> Any:
        return frame_of(
            kind, [{**row, **{n: cells[n][i] for n in cells}} for i, row in enumerate(ROWS)]
        )

    assert " has no column 'kind'. Its columns are 'path'," in refusal(changed(), label="kind")
    assert ", row 2: start -1 is negative" in refusal(changed(start=[0, -1]))
    assert " has only one class, 'a'" in refusal(changed(label=["a", "a"]))
    if kind != "lazy":
        assert "has no rows. Write one row per clip" in refusal(changed()[:0])


@pytest.mark.parametrize("data", [[1], {"path": ["a.wav"]}, None, np.zeros(3)])
def test_objects_that_are_no_frames(data: Any) -> None:
    kind = "numpy ndarray" if isinstance(data, np.ndarray) else type(data).__name__
    assert refusal(data) == (
        f"a {kind} is not a data set. Give a folder, a manifest, a frame (of pandas, polars,"
        " pyarrow or another library that narwhals supports), or a data set of Hugging Face."
    )


@pytest.mark.parametrize("kind", ["pandas", "pyarrow"])
def test_two_columns_of_one_name_are_refused(folder: Path, kind: str) -> None:
    names = ["path", "label", "label"]
    if kind == "pandas":
        frame = pytest.importorskip("pandas").DataFrame([["a.wav", "x", "y"]], columns=names)
    else:
        columns = [["a.wav"], ["x"], ["y"]]
        frame = pytest.importorskip("pyarrow").Table.from_arrays(columns, names=names)
    assert "has two columns with the same name. Rename one." in refusal(frame)


# Several classes


@pytest.mark.parametrize("kind", ["csv", "jsonl", *KINDS])
def test_a_clip_may_have_several_classes(folder: Path, kind: str) -> None:
    labels: Any = ["dog; rain ;dog", "rain"] if kind == "csv" else [["dog", "rain"], ["rain"]]
    rows = [{"path": f"{n}.wav", "label": label} for n, label in zip("ab", labels, strict=True)]
    data: Any = folder / f"m.{kind}"
    if kind == "csv":
        data.write_text("path,label\n" + "".join(f"{r['path']},{r['label']}\n" for r in rows))
    elif kind == "jsonl":
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        data = frame_of(kind, rows)
    dataset = Dataset.read(data, separator=";" if kind == "csv" else None)
    assert [clip.label for clip in dataset] == ["dog;rain", "rain"]
    assert [dataset.classes(clip) for clip in dataset] == [("dog", "rain"), ("rain",)]
    assert (dataset.labels, dataset.separator) == (["dog", "rain"], ";")
    assert returned(dataset, folder, separator=";") == dataset


def test_without_a_separator_a_label_is_one_class(folder: Path) -> None:
    (folder / "m.csv").write_text("path,label\na.wav,dog;rain\nb.wav,dog|rain\n")
    assert Dataset.read(folder / "m.csv").labels == ["dog;rain", "dog|rain"]
    piped = Dataset.read(folder / "m.csv", separator="|")
    assert piped.labels == ["dog", "dog;rain", "rain"]
    assert returned(piped, folder, separator="|") == piped


def test_classes_that_will_not_do(folder: Path) -> None:
    (folder / "m.csv").write_text("path,label\na.wav,dog;;rain\nb.wav,dog\n")
    text = refusal(folder / "m.csv", separator=";")
    assert "row 2: the label 'dog;;rain' has an empty class. Name it, or remove a separator" in text
    (folder / "m.jsonl").write_text('{"path": "a.wav", "label": ["a;b", "c"]}\n')
    assert "row 1: the class 'a;b' contains the separator ';'. Give another separator." in refusal(
        folder / "m.jsonl"
    )
    (folder / "m.jsonl").write_text('{"path": "a.wav", "label": []}\n')
    assert "m.jsonl has no class. Give at least two." in refusal(folder / "m.jsonl")


# Hugging Face


@pytest.fixture
def hub(folder: Path) -> Any:
    """A data set of two recordings, as paths, with class numbers and lists of them."""
    datasets = pytest.importorskip("datasets")
    rows = {
        "audio": [str(folder / "a.wav"), str(folder / "b.wav")],
        "label": [1, 0],
        "tags": [[0], [0, 1]],
        "speaker": ["ann", "bob"],
        "path": ["wrong", "wrong"],
    }
    return (
        datasets.Dataset.from_dict(rows)
        .cast_column("label", datasets.ClassLabel(names=["cat", "dog"]))
        .cast_column("tags", datasets.List(datasets.ClassLabel(names=["x", "y"])))
        .cast_column("audio", datasets.Audio())
    )


def test_a_hub_data_set_is_read_without_its_decoder(folder: Path, hub: Any) -> None:
    dataset = Dataset.read(hub, group="speaker")
    assert list(dataset) == [
        Clip(folder / "a.wav", "dog", group="ann"),
        Clip(folder / "b.wav", "cat", group="bob"),
    ]
    assert returned(dataset, folder) == dataset
    assert Dataset.read(hub, label="tags").labels == ["x", "y"]
    assert list(Dataset.read(hub.to_iterable_dataset(), group="speaker")) == list(dataset)
    assert "torchcodec" not in sys.modules


@pytest.mark.parametrize("splits", [False, True])
def test_a_saved_hub_data_set_is_read_from_its_bytes(
    folder: Path, hub: Any, splits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    wanted = audio.load(folder / "a.wav", RATE)
    saved = datasets.DatasetDict(train=hub, test=hub) if splits else hub
    saved.save_to_disk(folder / "saved")
    (folder / "a.wav").unlink()
    (folder / "b.wav").unlink()
    dataset = Dataset.read(folder / "saved")
    assert [clip.label for clip in dataset] == ["dog", "cat"] * (1 + splits)
    assert [clip.split for clip in dataset] == (
        ["train", "train", "test", "test"] if splits else [None, None]
    )
    assert len({clip.path for clip in dataset}) == len(dataset)  # equal sounds are two recordings
    np.testing.assert_array_equal(audio.load(dataset.clips[0].path, RATE), wanted)
    assert dataset.source == str(folder / "saved")
    assert returned(dataset, folder) == dataset
    written = {clip.path: clip.path.stat().st_mtime_ns for clip in dataset}
    assert Dataset.read(folder / "saved") == dataset
    assert written == {clip.path: clip.path.stat().st_mtime_ns for clip in dataset}  # not again


@pytest.mark.parametrize("rows_at_once", [1, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_embedded_recordings_in_parquet_and_frames(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, rows_at_once: int
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(dataframes, "AUDIO_ROWS", rows_at_once)
    rows = [
        {"audio": {"bytes": (folder / n).read_bytes(), "path": n}, "label": n[0]}
        for n in ("a.wav", "b.wav")
    ]
    dataset = Dataset.read(frame_of(kind, rows))
    assert [clip.path.read_bytes() for clip in dataset] == [row["audio"]["bytes"] for row in rows]
    assert [clip.label for clip in dataset] == ["a", "b"]
    assert {clip.path.suffix for clip in dataset} == {".wav"}
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "m.parquet")
    assert Dataset.read(folder / "m.parquet") == dataset
    rows[1]["audio"] = None
    assert "row 2: None is not a recording. Give a path, or its bytes as" in refusal(
        frame_of(kind, rows)
    )


def test_recordings_of_a_hub_stream_must_be_there(hub: Any) -> None:
    datasets = pytest.importorskip("datasets")
    stream = datasets.Dataset.from_dict({"audio": ["zip://a.wav::b.zip"] * 2, "label": ["x", "y"]})
    assert "2 of 2 rows name a recording that does not exist, first row 1" in refusal(stream)


def test_hub_data_sets_that_will_not_do(folder: Path, hub: Any) -> None:
    datasets = pytest.importorskip("datasets")
    assert "the datasets Dataset has no column 'kind'. Its columns are 'audio'," in refusal(
        hub, label="kind"
    )
    numbers = datasets.Dataset.from_dict({"path": ["a.wav", "b.wav"], "label": [1, -1]})
    assert "row 2: 'b.wav' has an empty label" in refusal(
        numbers.cast_column("label", hub.features["label"])
    )
    two = hub.add_column("more", hub["path"]).cast_column("more", datasets.Audio())
    two = two.rename_column("audio", "most")
    assert (
        "has several columns of audio (most, more). Rename the one to use to 'audio'."
        in refusal(two)
    )
    hub.save_to_disk(folder / "saved")
    (folder / "saved" / "state.json").write_text("{}")
    assert "saved as a data set: " in refusal(folder / "saved")


def test_a_saved_data_set_needs_datasets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "state.json").touch()
    (folder / "dataset_info.json").touch()
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "which is not installed. Run: pip install datasets. Or give a manifest." in refusal(
        folder
    )


def test_a_full_disk_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    frame = frame_of("pyarrow", [{"audio": {"bytes": b"x", "path": None}, "label": "a"}])
    assert ": No space left on device. Free some space" in refusal(frame)
    assert not list(cache_folder().glob("recordings/*/*"))


def test_none_of_these_libraries_is_imported_unasked(folder: Path) -> None:
    program = """if True:
        import sys
        from earmark.data.dataset import Dataset
        open("m.csv", "w").write("path,label\\na.wav,a\\nb.wav,b\\n")
        Dataset.read("m.csv")
        print({"pandas", "polars", "narwhals", "datasets", "pyarrow"} & set(sys.modules))
    """
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "set()\n"


# Label tracks of Audacity

TRACK = "0.500000\t1.250000\tdog\n\\\t1200.5\t3000.0\n1.250000\t2.000000\tcat  \n"


@pytest.mark.parametrize("name", ["a.txt", "a.wav.txt", "a.TXT"])
@pytest.mark.parametrize("text", [TRACK, "\ufeff" + TRACK.replace("\n", "\r\n")])
def test_an_audacity_track_finds_its_recording(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, newline="")
    dataset = Dataset.read(folder / name)
    assert list(dataset) == [
        Clip(folder / "a.wav", "dog", 0.5, 1.25),
        Clip(folder / "a.wav", "cat", 1.25, 2.0),
    ]
    assert returned(dataset, folder) == dataset


def test_a_track_may_lie_elsewhere(folder: Path) -> None:
    (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text(TRACK)
    assert "has no recording with its name in" in refusal(folder / "labels" / "a.txt")
    assert len(Dataset.read(folder / "labels" / "a.txt", root=folder)) == 2


def test_a_folder_of_recordings_with_tracks_beside_them(folder: Path) -> None:
    (folder / "a.txt").write_text(TRACK)
    (folder / "b.txt").write_text("0\t1\tdog\n")
    (folder / "notes.txt").write_text("0.1 is not a label\n")
    dataset = Dataset.read(folder)
    assert [(c.path.name, c.label) for c in dataset] == [
        ("a.wav", "dog"),
        ("a.wav", "cat"),
        ("b.wav", "dog"),
    ]
    (folder / "dog").mkdir()
    assert "has both label tracks beside recordings and a sub-folder, 'dog'." in refusal(folder)
    (folder / "dog").rmdir()
    assert returned(dataset, folder) == dataset
    (folder / "elsewhere" / "again.csv").unlink()
    (folder / "elsewhere").rmdir()
    (folder / "b.txt").unlink()
    assert "b.wav has no label track beside it, unlike 1 recording in" in refusal(folder)
    (folder / "a.txt").unlink()
    assert "is outside the class folders. Put each" in refusal(folder)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0\t1\tdog\n1.5\t1.5\tcat\n", "row 2: the label 'cat' marks a point (1.5 s), not a"),
        ("0\t1\tdog\n1\t2\t\n", "row 2: 'a.wav' has an empty label"),
        ("0\t1\tdog\nhello\n", "row 2: 'hello' is not start, end and label, separated by tabs"),
        ("0\t1\tdog\n1\tx\tcat\n", "row 2: end 'x' is not a number"),
        (
            "0\t1\tdog\n0\t1\tcat\n",
            "rows 1 and 2 are the same clip with the labels 'dog' and 'cat'",
        ),
        (
            "hello\n",
            "is neither a label track of Audacity (start, end and label, separated by tabs",
        ),
        ("", "a.txt has no labels. Label some sounds."),
    ],
)
def test_tracks_that_will_not_do(folder: Path, text: str, wanted: str) -> None:
    (folder / "a.txt").write_text(text)
    assert wanted in refusal(folder / "a.txt").replace(str(folder) + "/", "")


def test_a_track_of_two_recordings_is_refused(folder: Path) -> None:
    (folder / "a.txt").write_text(TRACK)
    (folder / "a.flac").write_bytes(encode(noise(10), "FLAC"))
    assert "a.txt has 2 recordings with its name in" in refusal(folder / "a.txt")


# Selection tables of Raven

HEADER = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"
RAVEN = (
    f"{HEADER}\tAnnotation\tSite\n"
    "1\tSpectrogram 1\t1\t0.5\t1.25\t100\t900\tdog\tnorth\n"
    "1\tWaveform 1\t1\t0.5\t1.25\t100\t900\tdog\tnorth\n"
    "2\tSpectrogram 1\t1\t1.25\t2.0\t100\t900\tcat\tnorth\n"
)


@pytest.mark.parametrize("name", ["a.Table.1.selections.txt", "a.selections.txt", "a.txt"])
def test_a_raven_table_finds_its_recording(folder: Path, name: str) -> None:
    (folder / name).write_text(RAVEN)
    dataset = Dataset.read(folder / name, group="Site")
    assert list(dataset) == [
        Clip(folder / "a.wav", "dog", 0.5, 1.25, "north"),
        Clip(folder / "a.wav", "cat", 1.25, 2.0, "north"),
    ]
    assert returned(dataset, folder) == dataset


def test_a_raven_table_may_name_its_recordings(folder: Path) -> None:
    names = f"{HEADER}\tBegin File\tFile Offset (s)\tSpecies\n"
    rows = "1\tS\t1\t0.5\t1.5\t1\t9\ta.wav\t0.5\tdog\n2\tS\t1\t3.0\t3.5\t1\t9\tb.wav\t1.0\tcat\n"
    (folder / "t.txt").write_text(names + rows)
    assert list(Dataset.read(folder / "t.txt")) == [
        Clip(folder / "a.wav", "dog", 0.5, 1.5),
        Clip(folder / "b.wav", "cat", 1.0, 1.5),
    ]
    (folder / "t.txt").write_text(
        (names + rows).replace("File Offset (s)", "Offset").replace("\t0.5\tdog", "\t\tdog")
    )
    assert "covers 2 recordings but has no column 'File Offset (s)'" in refusal(folder / "t.txt")


def test_the_column_of_annotations_can_be_named(folder: Path) -> None:
    (folder / "a.txt").write_text(RAVEN.replace("Annotation", "Call"))
    text = refusal(folder / "a.txt")
    assert "has no column 'label' of annotations. Choose one of its columns with --label" in text
    assert Dataset.read(folder / "a.txt", label="Call").labels == ["cat", "dog"]
    assert "no column 'Cal' of annotations" in refusal(folder / "a.txt", label="Cal")
    assert Dataset.read(folder / "a.txt", label="Channel", least_classes=1).labels == ["1"]


def test_a_raven_table_with_a_broken_time_is_refused(folder: Path) -> None:
    (folder / "a.txt").write_text(RAVEN.replace("2.0", "two"))
    assert (
        "row 4: 'Begin Time (s)' and 'End Time (s)' must be seconds (End Time (s) 'two'"
        in refusal(folder / "a.txt")
    )
