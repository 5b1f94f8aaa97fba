"""Folders and manifests in, clips out; and every way in which they can be wrong."""

import copy
import csv
import dataclasses
import errno
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from earmark.data import folders
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.errors import DataError
from shared_data import shared_data

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that makes empty files below a folder and returns the folder."""

    def make(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make


def write(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    """Write a manifest beside two recordings, a.wav and b.wav."""
    (folder / "a.wav").touch()
    (folder / "b.wav").touch()
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def refusal(data: Path | str, **options: object) -> str:
    with pytest.raises(DataError) as refused:
        Dataset.read(data, **options)  # type: ignore[arg-type]
    text = str(refused.value)
    assert text.endswith((".", "?"))
    return text


def names(clips: Dataset) -> list[tuple[str, str | None]]:
    return [(clip.path.name, clip.label) for clip in clips]


# Folders


def test_a_folder_of_classes_in_natural_order(make: Make) -> None:
    folder = make("dog/a10.wav", "dog/a9.WAV", "dog/deep/x.flac", "class10/b", "class9/b.odd")
    data = Dataset.read(folder)
    assert names(data) == [
        ("b.odd", "class9"),
        ("b", "class10"),
        ("a9.WAV", "dog"),
        ("a10.wav", "dog"),
        ("x.flac", "dog"),
    ]
    assert data.labels == ["class10", "class9", "dog"]
    assert (len(data), data.source) == (5, str(folder))
    assert all(clip.path.is_absolute() and clip.group is clip.fold is None for clip in data)


def test_what_is_no_recording_is_passed_over(make: Make) -> None:
    folder = make("a/1.wav", "a/._1.wav", "a/notes.txt", "b/2.wav", ".git/x.wav", "README.md")
    (folder / "c.csv").touch()
    assert names(Dataset.read(folder)) == [("1.wav", "a"), ("2.wav", "b")]


def test_links_are_followed_but_not_in_circles(make: Make, tmp_path: Path) -> None:
    make("data/a/1.wav", "elsewhere/2.wav")
    (tmp_path / "data/b").symlink_to(tmp_path / "elsewhere")
    assert names(Dataset.read(tmp_path / "data")) == [("1.wav", "a"), ("2.wav", "b")]
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "elsewhere")
    assert "back is a link back to" in refusal(tmp_path / "data")


def test_without_labels_a_folder_may_be_flat(make: Make) -> None:
    data = Dataset.read(make("x.wav", "y.wav", "dog/z.wav"), need_labels=False)
    assert names(data) == [("z.wav", "dog"), ("x.wav", None), ("y.wav", None)]
    assert data.labels == ["dog"]


def test_folders_that_will_not_do(make: Make, tmp_path: Path) -> None:
    make("empty/notes.txt", "flat/1.wav", "flat/2.wav", "one/dog/1.wav", "hole/cat/x.md")
    make("hole/dog/1.wav", "typo/1.wav", "list/sub/1.wav", "list/meta.csv")
    assert "empty has no recordings. Give a folder with one sub-folder" in refusal(
        tmp_path / "empty"
    )
    assert "flat/1.wav is outside the class folders. Put" in refusal(tmp_path / "flat")
    assert "one has only one class, 'dog'. Give at least two." in refusal(tmp_path / "one")
    assert "hole/cat has no recordings. Add some to this class" in refusal(tmp_path / "hole")
    assert "tpyo does not exist. Did you mean 'typo'? Give a folder" in refusal(tmp_path / "tpyo")
    assert f"two. Is {tmp_path}/list/meta.csv the manifest?" in refusal(tmp_path / "list")
    assert "is a folder and has no columns. Leave out" in refusal(tmp_path, group="speaker")
    assert "no/such does not exist. Give a folder" in refusal(tmp_path / "no/such")


def test_a_folder_that_cannot_be_listed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    folder = make("a/1.wav")
    monkeypatch.setattr(Path, "iterdir", denied)
    assert f"cannot list {folder}: Permission denied. Check its permissions." in refusal(folder)


def test_a_dataset_is_shown_in_one_line(make: Make) -> None:
    folder = make("a/1.wav", "a/2.wav", "b/3.wav")
    assert repr(Dataset.read(folder)) == f"<Dataset: 3 clips, 2 classes, from '{folder}'>"
    one = Dataset((Clip(folder / "a/1.wav", "a"),), "x")
    assert repr(one) == "<Dataset: 1 clip, 1 class, from 'x'>"


# Manifests

ROWS = [
    {"path": "a.wav", "label": "dog", "start": 0.5, "end": 2, "group": 7, "fold": 1},
    {"path": "b.wav", "label": "cat", "start": None, "end": 1.25, "group": 8, "fold": 2},
]


def as_csv(delimiter: str, end: str = "\n") -> str:
    lines = [ROWS[0].keys(), *(row.values() for row in ROWS)]
    cells = [["" if value is None else str(value) for value in line] for line in lines]
    return "".join(delimiter.join(line) + end for line in cells)


def as_json_lines() -> str:
    return "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", as_csv(",")),
        ("m.CSV", as_csv(", ", "\r\n")),
        ("m.csv", as_csv(";")),
        ("m.csv", as_csv("\t")),
        ("m.tsv", as_csv("\t")),
        ("m.csv", "\ufeff\n" + as_csv(",", "\n\n , \n".replace(" , ", ",,,,,"))),
        ("m.jsonl", as_json_lines()),
        ("m.ndjson", "\n" + as_json_lines().replace("\n", "\r\n\n")),
        ("m.json", as_json_lines()),
        ("m.json", json.dumps(ROWS, indent=1)),
    ],
)
def test_every_kind_of_manifest_says_the_same(tmp_path: Path, name: str, text: str) -> None:
    assert list(Dataset.read(write(tmp_path, name, text))) == [
        Clip(tmp_path / "a.wav", "dog", 0.5, 2.0, "7", "1"),
        Clip(tmp_path / "b.wav", "cat", None, 1.25, "8", "2"),
    ]


def test_parquet_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{**row, "audio": {"bytes": b"..."}} for row in ROWS]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "m.parquet")
    read, columns = parquet.ParquetFile.iter_batches, []
    monkeypatch.setattr(
        parquet.ParquetFile,
        "iter_batches",
        lambda self, *n, **k: columns.extend(k["columns"]) or read(self, *n, **k),
    )
    want = list(Dataset.read(write(tmp_path, "m.jsonl", as_json_lines())))
    assert list(Dataset.read(tmp_path / "m.parquet")) == want
    assert columns == list(ROWS[0])  # and not the embedded audio
    assert "has no column 'speaker'. Its columns are 'path', 'label'" in refusal(
        tmp_path / "m.parquet", group="speaker"
    )


def test_what_is_not_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    assert "m.parquet is not a Parquet file (" in refusal(write(tmp_path, "m.parquet", "PAR2"))


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert (
        "pyarrow, which is not installed. Run in a clone of earmark: pip install '.[parquet]'."
        in refusal(write(tmp_path, "m.parquet", "PAR1"))
    )


def test_other_columns_can_be_named(tmp_path: Path) -> None:
    text = "path,label,kind,speaker,set\na.wav,x,dog,ann,1\nb.wav,x,cat,bob,2\n"
    manifest = write(tmp_path, "m.csv", text)
    a, b = Dataset.read(manifest, label="kind", group="speaker", fold="set")
    assert (a.label, a.group, a.fold) == ("dog", "ann", "1")
    assert (b.label, b.group, b.fold) == ("cat", "bob", "2")
    has = "Its columns are 'path', 'label', 'kind', 'speaker', 'set'."
    assert f"has no column 'speeker'. Did you mean 'speaker'? {has}" in refusal(
        manifest, group="speeker"
    )
    assert f"has no column 'zzz'. {has}" in refusal(manifest, fold="zzz")
    assert f"has no column 'knd'. Did you mean 'kind'? {has}" in refusal(
        manifest, label="knd", need_labels=False
    )


def test_without_labels_a_list_of_paths_will_do(tmp_path: Path) -> None:
    manifest = write(tmp_path, "m.csv", "path\na.wav\nb.wav\n")
    assert names(Dataset.read(manifest, need_labels=False)) == [("a.wav", None), ("b.wav", None)]
    assert "has no column 'label'. Its columns are 'path'." in refusal(manifest)


def test_paths_are_relative_to_the_manifest_or_absolute(make: Make, tmp_path: Path) -> None:
    make("audio/a.wav", "lists/x")
    text = f"path,label\n../audio/a.wav,dog\n{tmp_path}/b.wav,cat\n"
    manifest = write(tmp_path, "lists/m.csv", text)
    assert [clip.path for clip in Dataset.read(manifest)] == [
        tmp_path / "audio/a.wav",
        tmp_path / "b.wav",
    ]


def test_blanks_around_cells_do_not_count(tmp_path: Path) -> None:
    text = 'label , path\ndog , a.wav\n "cat", "b.wav"\n'
    assert names(Dataset.read(write(tmp_path, "m.csv", text))) == [
        ("a.wav", "dog"),
        ("b.wav", "cat"),
    ]


def test_labels_that_are_numbers_are_text(tmp_path: Path) -> None:
    text = '{"path": "a.wav", "label": 1.0}\n{"path": "b.wav", "label": 2.5}\n'
    assert Dataset.read(write(tmp_path, "m.jsonl", text)).labels == ["1", "2.5"]


def test_stretches_of_one_recording_are_different_clips(tmp_path: Path) -> None:
    text = "path,label,start,end\na.wav,dog,0,1\na.wav,cat,1,2\na.wav,dog,1,\n"
    clips = Dataset.read(write(tmp_path, "m.csv", text))
    assert [(clip.start, clip.end) for clip in clips] == [(0, 1), (1, 2), (1, None)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "has no column 'path'. Its columns are none."),
        ("path,label\n", "has no rows. Write one row per clip."),
        (
            "paths,label\na.wav,x\n",
            "no column 'path'. Did you mean 'paths'? Its columns are 'paths'",
        ),
        ("path,label,label\na.wav,x,y\n", "has two columns 'label'. Rename one."),
        ("path,label\na.wav,dog\nb.wav,dog\n", "has only one class, 'dog'. Give at least two."),
        ("path,label\na.wav,dog\nb.wav,\n", "row 3: 'b.wav' has an empty label. Label it, or"),
        ("path,label\n ,dog\n", "row 2: the path is empty. Name a recording."),
        ("path,label\n\na.wav,dog,x\n", "row 3: it has 3 cells, but the header has 2. Put cells"),
        ("path,label\na.wav\n", "row 2: it has 1 cell, but the header has 2"),
        (
            'path,label\na.wav,"dog\nb.wav,cat\n',
            "row 2: unexpected end of data. Correct its quotes.",
        ),
        ("path,label,start\na.wav,x,-1\n", "row 2: start -1 is negative. Give seconds"),
        ("path,label,start,end\na.wav,x,3,2\n", "row 2: end 2 is not after start 3. Both are in"),
        ("path,label,start,end\na.wav,x,2,2\n", "row 2: end 2 is not after start 2"),
        ("path,label,end\na.wav,x,0\n", "row 2: end 0 is not after start 0"),
        (
            "path;label;start\na.wav;x;1,5,0\n",
            "row 2: start '1,5,0' is not a number of seconds, such as 1.5",
        ),
        ("path,label,end\na.wav,x,nan\n", "row 2: end 'nan' is not a number"),
        ("path,label,end\na.wav,x,inf\n", "row 2: end 'inf' is not a number"),
        ("path,label,group\na.wav,x,1\nb.wav,y,\n", "row 3: the group is empty, as in 1 of 2 rows"),
        ("path,label,fold\na.wav,x,\nb.wav,y,1\n", "row 2: the fold is empty, as in 1 of 2 rows"),
        ("path,label,split\na.wav,x,\nb.wav,y,1\n", "row 2: the split is empty"),
        ("path,label\na.wav,x\nb.wav,y\n./a.wav,x\n", "rows 2 and 4 are the same clip ("),
        (
            "path,label\na.wav,x\na.wav,y\n",
            "rows 2 and 3 are the same clip with the labels 'x' and 'y' (",
        ),
        (
            "path,label,start\na.wav,x,\na.wav,y,0\n",
            "rows 2 and 3 are the same clip with the labels 'x' and 'y' (",
        ),
    ],
)
def test_manifests_that_will_not_do(tmp_path: Path, text: str, wanted: str) -> None:
    assert wanted in refusal(write(tmp_path, "m.csv", text))


def test_recordings_that_are_not_there_are_counted_and_named(make: Make, tmp_path: Path) -> None:
    rows = "".join(f"{name},{i % 2}\n" for i, name in enumerate(["a.wav", *"stuvw", "folder"]))
    make("folder/x")
    text = refusal(write(tmp_path, "m.csv", "path,label\n" + rows))
    assert "6 of 7 rows name a recording that does not exist, first" in text
    assert f"row 3 '{tmp_path}/s', row 4 '{tmp_path}/t', row 5 '{tmp_path}/u'. Paths are" in text
    assert f"relative to {tmp_path}." in text


def test_a_column_that_was_named_must_be_filled(tmp_path: Path) -> None:
    manifest = write(tmp_path, "m.csv", "path,label,group,who\na.wav,x,,\nb.wav,y,,\n")
    assert [clip.group for clip in Dataset.read(manifest)] == [None, None]
    assert "row 2: the group is empty, as in 2 of 2 rows. Fill" in refusal(manifest, group="who")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"path": "a.wav"\n', "row 1: not JSON ("),
        ('{"path": "a.wav", "label": "x"}\n{]\n', "row 2: not JSON ("),
        ('\n["a.wav", "x"]\n', "row 1: not an object. Write {"),
        ("[1, 2", "row 1: not JSON ("),
        ('{"path": "a.wav", "label": {"x": 1}}', "row 1: {'x': 1} is not a single value. Give"),
        ('{"path": "a.wav", "label": null}', "row 1: 'a.wav' has an empty label"),
    ],
)
def test_json_that_will_not_do(tmp_path: Path, text: str, wanted: str) -> None:
    assert wanted in refusal(write(tmp_path, "m.jsonl", text))


def test_a_manifest_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    for name in ("m.csv", "m.jsonl", "a.txt"):
        (tmp_path / name).write_text("0\t1\tx\n")
        text = refusal(tmp_path / name)
        assert f"cannot read {tmp_path / name}: Permission denied. Check its permissions." in text


def test_files_that_are_no_manifests(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("m.xlsx")
    assert (
        "m.xlsx is neither a folder nor a manifest. Give a folder, or a file that ends in .csv,"
        in refusal(tmp_path / "m.xlsx")
    )
    latin = write(tmp_path, "latin.csv", "path,label\na.wav,Птица\n", "cp1251")
    assert "latin.csv is not UTF-8 (invalid continuation byte), and its enc" in refusal(latin)
    monkeypatch.setattr("earmark.data.tables.MAX_MANIFEST_BYTES", 10)
    assert "latin.csv has 23 bytes, but a manifest may have at most 10. List paths" in refusal(
        latin
    )


# Refusals are quick

HEAVY = ("sklearn", "scipy", "torch", "av", "soxr", "pyarrow", "narwhals", "pandas", "datasets")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("earmark.Dataset.read('nowhere')", "nowhere does not exist."),
        ("earmark.Dataset.read('m.csv')", "m.csv has no column 'label'. Did you mean 'lable'?"),
        (
            "earmark.Dataset.read('m.csv', label='x')",
            "m.csv has no column 'x'. Its columns are 'path',",
        ),
        ("earmark.doctor('nowhere')", "nowhere does not exist."),
        ("earmark.doctor('m.csv')", "m.csv has no column 'label'. Did you mean 'lable'?"),
    ],
)
def test_a_refusal_imports_nothing_heavy(tmp_path: Path, call: str, text: str) -> None:
    write(tmp_path, "m.csv", "path,lable\na.wav,x\nb.wav,y\n")
    program = f"""if True:
        import sys, earmark
        try:
            {call}
        except earmark.EarmarkError as error:
            print(error)
        print([name for name in {HEAVY} if name in sys.modules])
    """
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    error, modules = ran.stdout.splitlines()
    assert text in error
    assert modules == "[]"


# Writing


def test_a_folder_written_as_a_manifest_is_the_same_dataset(make: Make, tmp_path: Path) -> None:
    make("data/a/1.wav", "data/b/2, 'x'.wav", "lists/old")
    data = Dataset.read(tmp_path / "data")
    data.to_manifest(tmp_path / "lists/m.csv")
    assert Dataset.read(tmp_path / "lists/m.csv") == data
    with (tmp_path / "lists/m.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["path", "label"]
        assert next(csv.reader(file)) == ["../data/a/1.wav", "a"]
    assert sorted(os.listdir(tmp_path / "lists")) == ["m.csv", "old"]


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
labels = words.map(str.strip).filter(bool)
times = st.floats(0, 1e5, allow_nan=False)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text takes a second to make
@example([("a\rb", "c\r\nd", 0.1), (",", '"', 1e-9)], True, True)
@given(
    st.lists(st.tuples(labels, labels, times), min_size=2, max_size=5),
    st.booleans(),
    st.booleans(),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, float]],
    grouped: bool,
    labelled: bool,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    files = [folder / " a;b.wav", folder / "\tc\n.wav"]  # blanks in front, line ends
    for file in files:
        file.touch()
    clips = tuple(
        Clip(
            files[i % 2],
            label if labelled else None,
            start,
            start + i + 1,
            group if grouped else None,
        )
        for i, (label, group, start) in enumerate(rows)
    )
    data = Dataset(clips, "made here")
    data.to_manifest(folder / "m.csv")
    assert Dataset.read(folder / "m.csv", need_labels=False) == data


def test_writing_fails_in_a_sentence_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Dataset((Clip(tmp_path / "a.wav", "x"),), "made here")
    with pytest.raises(DataError, match=r"m\.tsv is not the name of a \.csv\. Give a name"):
        data.to_manifest(tmp_path / "m.tsv")
    with pytest.raises(DataError, match=r"cannot write .*No such file.*\. Choose another"):
        data.to_manifest(tmp_path / "no" / "m.csv")
    (tmp_path / "m.csv").write_text("old")
    odd = dataclasses.replace(data.clips[0], label="\ud83d")  # no UTF-8 for half a character
    with pytest.raises(DataError, match="cannot write .*: 'utf-8' codec"):
        Dataset((odd,), "made here").to_manifest(tmp_path / "m.csv")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(DataError, match=r"m\.csv: No space left on device\. Choose another place"):
        data.to_manifest(tmp_path / "m.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["m.csv"]
    assert (tmp_path / "m.csv").read_text() == "old"


# Paths


def test_paths_keep_the_order_given(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make("z.wav", "d/10.wav", "d/9.wav", "d/n.txt", "d/e/f", "odd.txt", "a.wav"))
    got = folders.paths(["z.wav", "d", Path("odd.txt"), "a.wav"])
    want = ["z.wav", "d/9.wav", "d/10.wav", "d/e/f", "odd.txt", "a.wav"]
    assert got == [Path(path) for path in want]
    assert folders.paths([]) == []


def test_paths_that_are_not_there(make: Make) -> None:
    folder = make("clip.wav", "empty/x.txt")
    with pytest.raises(
        DataError, match=r"clp\.wav does not exist. Did you mean 'clip\.wav'\? Give"
    ):
        folders.paths([str(folder / "clp.wav")])
    with pytest.raises(DataError, match="empty has no recordings. Give recordings or folders"):
        folders.paths([folder / "empty"])


# Real data


def test_esc10_as_a_manifest_and_as_a_folder() -> None:
    folder = shared_data("esc10")
    listed = Dataset.read(folder / "meta.csv", group="source")
    walked = Dataset.read(folder)
    assert len(listed) == 400
    assert {clip.fold for clip in listed} == set("12345")
    assert {(c.path, c.label) for c in listed} == {(c.path, c.label) for c in walked}
    by_group: dict[str | None, set[str | None]] = {}
    for clip in listed:
        by_group.setdefault(clip.group, set()).add(clip.fold)
    assert all(len(folds) == 1 for folds in by_group.values())  # its README says so


def test_a_clip_keeps_its_path_as_a_text_and_gives_a_path(tmp_path):
    """A Path takes four times as much memory, and there may be millions of clips."""
    clip = Clip(Path("a") / "b.wav", "x", 1.0)
    assert clip.path == Path("a/b.wav") and clip.place == str(Path("a/b.wav"))
    assert replace(clip, label="y").path == clip.path and replace(clip, path=Path("c")).place == "c"
    assert pickle.loads(pickle.dumps(clip)) == clip == copy.deepcopy(clip)
    assert len({clip, replace(clip), replace(clip, start=2.0)}) == 2
    assert repr(clip).startswith("Clip(path=PosixPath('a/b.wav'), label='x', start=1.0")
    with pytest.raises(FrozenInstanceError):
        clip.path = Path("c")
    assert not hasattr(clip, "__dict__")
    (tmp_path / "r.wav").touch()
    rows = "".join(f"r.wav,dog,{k},{k + 1},g\nr.wav,cat,{k}.5,{k + 1},g\n" for k in range(3))
    (tmp_path / "m.csv").write_text("path,label,start,end,group\n" + rows)
    clips = Dataset.read(tmp_path / "m.csv").clips
    assert all(c.place is clips[0].place and c.group is clips[0].group for c in clips)
    assert clips[2].label is clips[0].label
