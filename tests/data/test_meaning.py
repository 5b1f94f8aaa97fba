"""Data that could mean something else than it says: splits, columns, encodings, tracks, lists."""

import io
import json
import unicodedata
from pathlib import Path

import pytest

from earmark.apps.cli.lists import paths_in
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset, listed
from earmark.data.doctor import check_table
from earmark.data.split_words import HELD_OUT, role
from earmark.data.splits import make_scheme, understood
from made_data import make, manifest, refusal

# Splits


def with_splits(folder: Path, *words: str) -> Path:
    names = [f"{k}{c}.wav" for k in range(len(words)) for c in "xy"]
    make(folder, *names)
    rows = "".join(f"{k}{c}.wav,{c},{word}\n" for k, word in enumerate(words) for c in "xy")
    return manifest(folder, "path,label,split\n" + rows)


@pytest.mark.parametrize("word", [*sorted(HELD_OUT), "Test", "VALIDATION", "Dev "])
def test_every_word_for_held_out_is_held_out(tmp_path: Path, word: str) -> None:
    data = Dataset.read(with_splits(tmp_path, "Training", "train", word))
    scheme = make_scheme(data.clips, range(len(data)))
    assert scheme.held_out == 1 and scheme.fold.tolist() == [0, 0, 0, 0, 1, 1]
    assert scheme.description.startswith("test split of 2 clips")
    assert understood(data.clips).startswith("the split: 4 clips to train on, 2 held out (")
    is_told = any("earmark 0.1 trained on them" in note for note in data.notes)
    assert is_told == (word != "test")
    assert [clip.split.strip() for clip in data.to_test()] == [word.strip()] * 2


def test_validation_and_test_are_held_out_together(tmp_path: Path) -> None:
    data = Dataset.read(with_splits(tmp_path, "train", "val", "test"))
    scheme = make_scheme(data.clips, range(len(data)))
    assert scheme.description == "test split of 4 clips (test, val)"
    assert not [finding for finding in check_table(data) if "parted" in finding.kind]
    mapped = Dataset.read(tmp_path / "m.csv", split_map="val=train")
    assert make_scheme(mapped.clips, range(6)).description == "test split of 2 clips"
    off = Dataset.read(tmp_path / "m.csv", split_map="none")
    assert {clip.split for clip in off} == {None}
    assert Dataset.read(**mapped.origin) == mapped  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [("train", "gold"), ("a", "b"), ("train", "test", "test2")])
def test_other_words_are_refused_with_the_way_out(tmp_path: Path, words: tuple[str, ...]) -> None:
    path = with_splits(tmp_path, *words)
    text = refusal(path)
    strange = [word for word in words if role(word) is None]
    assert "has the splits" in text and all(f"{word} 2" in text for word in words)
    assert f"--split-map {','.join(f'{word}=train' for word in strange)} (or =test)" in text
    data = Dataset.read(path, split_map=dict.fromkeys(strange, "test"))
    assert {role(clip.split) for clip in data} <= {"train", "test"}
    for wrong in ("gold", "gold=maybe", "=train"):
        assert ". Give WORD=train" in refusal(path, split_map=wrong)
    assert "has 'A' twice" in refusal(path, split_map="a=train,A=test")


def test_numbers_in_a_split_may_be_folds(tmp_path: Path) -> None:
    path = with_splits(tmp_path, "0", "1", "2")
    assert "If they are folds, give --fold split" in refusal(path)
    data = Dataset.read(path, fold="split")
    assert {(clip.fold, clip.split) for clip in data} == {("0", None), ("1", None), ("2", None)}


def test_folds_that_are_called_like_splits_are_refused(tmp_path: Path) -> None:
    path = with_splits(tmp_path, "train", "test")
    assert "which are names of splits. Give --split split" in refusal(path, fold="split")


TREE = [f"{s}/{c}/{k}.wav" for s in ("Train", "val", "TEST") for c in ("dog", "cat") for k in "12"]


def test_top_folders_may_be_splits(tmp_path: Path) -> None:
    data = Dataset.read(make(tmp_path, *TREE))
    assert data.labels == ["cat", "dog"]
    assert [c.split for c in data] == ["TEST"] * 4 + ["Train"] * 4 + ["val"] * 4
    assert "'TEST', 'Train', 'val' are read as splits; earmark 0.1 read them as cl" in data.notes[0]
    off = Dataset.read(tmp_path, split_map="none")
    assert off.labels == ["TEST", "Train", "val"] and not off.notes


def test_splits_and_folds_may_lie_inside_the_classes(tmp_path: Path) -> None:
    swapped = ["/".join([(p := name.split("/"))[1], p[0], p[2]]) for name in TREE]
    data = Dataset.read(make(tmp_path, *swapped))
    assert data.labels == ["cat", "dog"] and {c.split for c in data} == {"TEST", "Train", "val"}
    assert "read as splits" in data.notes[0]


def test_top_folders_may_be_folds(tmp_path: Path) -> None:
    make(tmp_path, *(f"fold{k}/{c}/x.wav" for k in range(1, 11) for c in ("dog", "cat")))
    data = Dataset.read(tmp_path)
    assert data.labels == ["cat", "dog"] and [c.fold for c in data][::2][-1] == "fold10"
    assert make_scheme(data.clips, range(20)).description == "10 given folds"
    assert understood(data.clips) == "10 folds, and each is tested once"


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    data = Dataset.read(make(tmp_path, "train/1.wav", "car/2.wav", "bus/3.wav"))
    assert data.labels == ["bus", "car", "train"]
    assert data.notes[0].startswith("the folder 'train' is read as a class, like the others")


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (
            ("train/1.wav", "test/2.wav"),
            "is not in a class folder: 'test', 'train' are read as splits",
        ),
        (
            ("fold1/1.wav", "fold2/2.wav"),
            "is not in a class folder: 'fold1', 'fold2' are read as folds",
        ),
        (("train/a/1.wav", "test/a/2.wav", "more/a/3.wav"), "Give --split-map more=train"),
        (("fold1/a/1.wav", "fold2/a/2.wav", "extra/a/3.wav"), "but 'extra' may be a split"),
    ],
)
def test_mixed_folders_are_refused(tmp_path: Path, names: tuple[str, ...], wanted: str) -> None:
    assert wanted in refusal(make(tmp_path, *names))


def test_the_lists_of_speech_commands_hold_out(tmp_path: Path) -> None:
    make(tmp_path, *(f"{c}/{k}.wav" for c in ("yes", "no") for k in "123"))
    (tmp_path / "testing_list.txt").write_text("yes/1.wav\nno/1.wav\n")
    (tmp_path / "validation_list.txt").write_text("yes/2.wav\r\nno/2.wav\r\n")
    data = Dataset.read(tmp_path)
    assert [c.split for c in data] == ["test", "validation", "train"] * 2
    assert "earmark 0.1 trained on them" in data.notes[0]


# Columns


def test_a_missing_path_offers_what_looks_like_it(tmp_path: Path) -> None:
    for name in ("file_name", "Filename", "filepath", "wav", "recording", "slice_file_name"):
        path = manifest(tmp_path, f"{name},label\na.wav,x\nb.wav,y\n")
        assert f"no column 'path'. If {name!r} is the path, give --path {name}. Its" in refusal(
            path
        )
        assert len(Dataset.read(path, path=name)) == 2
    path = manifest(tmp_path, "path,category,species\na.wav,x,1\nb.wav,y,2\n")
    assert "give --label category or --label species. Its columns" in refusal(path)


def test_all_columns_can_be_named(tmp_path: Path) -> None:
    path = manifest(tmp_path, "f,l,s,e,w\na.wav,x,0,1,train\nb.wav,y,1,2,test\n")
    data = Dataset.read(path, path="f", label="l", start="s", end="e", split="w")
    assert list(data) == [
        Clip(tmp_path / "a.wav", "x", 0, 1, split="train"),
        Clip(tmp_path / "b.wav", "y", 1, 2, split="test"),
    ]
    assert Dataset.read(**data.origin) == data  # type: ignore[arg-type]
    assert "no column 'z'" in refusal(path, path="f", label="l", split="z")


def test_case_and_blanks_of_a_name_do_not_count(tmp_path: Path) -> None:
    path = manifest(
        tmp_path, "Path, LABEL ,Start (s),End (s),Split\na.wav,x,0,1,train\nb.wav,y,1,2,"
    )
    path.write_text(path.read_text() + "test\n")
    data = Dataset.read(path)
    assert [(c.start, c.end, c.split) for c in data] == [(0, 1, "train"), (1, 2, "test")]
    assert "column 'Start (s)' is read as start; earmark 0.1 ignored it" in data.notes
    manifest(tmp_path, "Path,PATH,label\na.wav,a.wav,x\n")
    assert "It may be any of 'Path', 'PATH': choose one with --path" in refusal(path)
    manifest(
        tmp_path, "path,label,notes,notes,onset,subset\na.wav,x,1,2,0,train\nb.wav,y,1,2,0,u\n"
    )
    notes = Dataset.read(path).notes
    assert any(
        "'onset' is not used; if it is the start, add --start 'onset'" in note for note in notes
    )
    assert any(
        "'subset' is not used; if it is the split, add --split 'subset'" in note for note in notes
    )
    half = "there is no column for the {} of clips, so each {}"
    for header, missing, does in (
        ("path,label,t0,end", "start", "begins at 0 s"),
        ("path,label,start,fin", "end", "ends with its recording"),
    ):
        manifest(tmp_path, f"{header}\na.wav,x,0,1\nb.wav,y,0,1\n")
        (note,) = Dataset.read(path).notes
        assert half.format(missing, does) in note and f"add --{missing}" in note
        assert Dataset.read(path, **{missing: "none"}).notes == ()


# Cells and bytes

TABLE = "path,label\na.wav,Möwe\nb.wav,Käuzchen\n"


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        b"\xfe\xff" + TABLE.encode("utf-16-be"),
        TABLE.encode("utf-16-le"),
        TABLE.encode("utf-32"),
        TABLE.encode("latin-1"),
        TABLE.replace("\n", "\r").encode(),
        ("sep=;\r\n" + TABLE.replace(",", ";")).encode(),
        TABLE.replace(",", "|").encode(),
        TABLE.replace("\n", ",,\n").encode(),
    ],
)
def test_a_table_is_read_in_any_clear_encoding(tmp_path: Path, content: bytes) -> None:
    data = Dataset.read(manifest(tmp_path, content))
    assert data.labels == ["Käuzchen", "Möwe"]
    assert bool(data.notes) == (content == TABLE.encode("latin-1"))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (
            "path,label\na.wav,Сова\n".encode("cp1251"),
            "its encoding is not clear. Save it as UTF-8",
        ),
        ("path,label\na.wav,żuraw\n".encode("cp1250"), "its encoding is not clear"),
        (b"path,label\na.wav,x\nb.wav,y\0y\n", "line 3: there is a NUL character"),
        (b"\xff\xfe" + b"p\0a\0t", "begins like UTF-16 but is not"),
        (b'path,label,start,end\na.wav,x,"1,250","2,500"\n', "may be 1.250 or 1250 seconds"),
    ],
)
def test_doubtful_bytes_are_refused(tmp_path: Path, content: bytes, wanted: str) -> None:
    assert wanted in refusal(manifest(tmp_path, content))


def test_decimal_commas_long_cells_and_quoted_lines(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path;label;start;end\na.wav;x;1,250;2,5\nb.wav;y;0;1,125\n")
    assert [(c.start, c.end) for c in Dataset.read(path)] == [(1.25, 2.5), (0, 1.125)]
    manifest(tmp_path, 'path,label,end\na.wav,x,"1,250"\nb.wav,y,"0,5"\n')
    assert [c.end for c in Dataset.read(path)] == [1.25, 0.5]
    long = "n" * 200_000
    manifest(tmp_path, f'path,label,notes\na.wav,x,{long}\nb.wav,y,"two\nlines"\n')
    assert Dataset.read(path).labels == ["x", "y"]
    rows = [{"path": "a.wav", "label": "x\0"}, {"path": "b.wav", "label": "y"}]
    text = json.dumps(rows)
    assert "contains a NUL character. Remove it" in refusal(manifest(tmp_path, text, "m.json"))


def test_paths_are_found_as_other_systems_write_them(tmp_path: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "Käuze/Möwe.wav") for form in ("NFC", "NFD"))
    make(tmp_path, nfd, "x/d.wav")
    path = manifest(tmp_path, f"path,label\nsub\\c.wav,x\n{nfc},y\n./x\\d.wav ,y\n")
    assert [c.path for c in Dataset.read(path)] == [
        tmp_path / "sub/c.wav",
        tmp_path / nfd,
        tmp_path / "x/d.wav",
    ]
    make(tmp_path, "sub\\c.wav")  # a name may hold a backslash
    assert Dataset.read(path).clips[0].path == tmp_path / "sub\\c.wav"


# Label tracks

BIRDNET = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"
    "Common Name\tSpecies Code\tConfidence\tBegin Path\tFile Offset (s)\n"
)


def test_tables_of_birdnet(tmp_path: Path) -> None:
    rows = (
        "1\tSpectrogram 1\t1\t3,0\t6,0\t0\t9\tRobin\trob\t0.9\tC:\\old\\a.wav\t3,0\n"
        "2\tSpectrogram 1\t1\t63,0\t66,0\t0\t9\tWren\twre\t0.8\t/old/disk/c.wav\t3,0\n"
    )
    path = manifest(tmp_path, BIRDNET + rows, "BirdNET_SelectionTable.txt")
    wanted = [(tmp_path / "a.wav", "Robin", 3, 6), (tmp_path / "sub/c.wav", "Wren", 3, 6)]
    data = Dataset.read(path)
    assert [(c.path, c.label, c.start, c.end) for c in data] == wanted
    assert any("a model detected them" in note for note in data.notes)
    assert Dataset.read(path, label="Species Code").labels == ["rob", "wre"]
    lost = (BIRDNET + rows).replace("\t3,0\n", "\t\n")
    assert "(one is empty)" in refusal(manifest(tmp_path, lost, path.name))
    head = "Start (s),End (s),Scientific name,Common name,Confidence"
    cells = "0,3,Erithacus rubecula,Robin,0.9\n3,6,Troglodytes,Wren,0.8\n"
    for name in ("a.BirdNET.results.csv", "a.csv"):
        data = Dataset.read(manifest(tmp_path, f"{head}\n{cells}", name))
        assert [(c.path.name, c.label, c.start) for c in data] == [
            ("a.wav", "Robin", 0),
            ("a.wav", "Wren", 3),
        ]
    text = f"{head},File\n" + cells.replace("\n", ",sub/c.wav\n")
    data = Dataset.read(manifest(tmp_path, text, "all.csv"))
    assert {c.path.name for c in data} == {"c.wav"}


def test_a_raven_table_of_several_recordings(tmp_path: Path) -> None:
    head = "Begin Time (s)\tEnd Time (s)\tBegin File\tEnd File\tFile Offset (s)\tAnnotation\n"
    rows = "1\t2\ta.wav\ta.wav\t1\tx\n61\t62.5\tc.wav\tc.wav\t1\ty\n"
    path = manifest(tmp_path, head + rows, "t.txt")
    assert [(c.path.name, c.start, c.end) for c in Dataset.read(path)] == [
        ("a.wav", 1, 2),
        ("c.wav", 1, 2.5),
    ]
    text = refusal(manifest(tmp_path, head + rows.replace("c.wav\tc.wav", "c.wav\td.wav"), "t.txt"))
    assert "row 3: the selection begins in 'c.wav' and ends in 'd.wav'. Draw it within one" in text


def test_a_label_track_with_decimal_commas_and_scores(tmp_path: Path) -> None:
    track = "0,500000\t1,250000\tdog\n\\\t1200,5\t3000,0\n1,250000\t2,000000\tcat\n"
    for text in (track, track.replace("dog\n", "dog\t0.81\n").replace("cat\n", "cat\t0.7\n")):
        for encoding in ("utf-8", "utf-16"):
            path = manifest(tmp_path, text.encode(encoding), "a.txt")
            assert [(c.label, c.start, c.end) for c in Dataset.read(path)] == [
                ("dog", 0.5, 1.25),
                ("cat", 1.25, 2.0),
            ]


def test_a_table_of_kaleidoscope(tmp_path: Path) -> None:
    text = (
        "INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,AUTO ID*,MANUAL ID\n"
        "D:\\rec,,a.wav,0,1.5,2,NoID,MYOLUC\nD:\\rec,sub,c.wav,0,0,1,NoID,EPTFUS\n"
    )
    data = Dataset.read(manifest(tmp_path, text, "id.csv"))
    assert [(c.path.name, c.label, c.start, c.end) for c in data] == [
        ("a.wav", "MYOLUC", 1.5, 3.5),
        ("c.wav", "EPTFUS", 0, 1),
    ]


# Lists


def test_rows_to_answer_may_repeat_and_be_missing(tmp_path: Path) -> None:
    rows = "a.wav,0,1,gold\na.wav,0,1,x\nnot.wav,1,2,test\n"
    clips = listed(manifest(tmp_path, "path,start,end,split\n" + rows)).clips
    assert [(c.path.name, c.start, c.split) for c in clips] == [
        ("a.wav", 0, None),
        ("a.wav", 0, None),
        ("not.wav", 1, None),
    ]


@pytest.mark.parametrize(
    "content",
    [b"a.wav\nb c.wav\n", b"\xef\xbb\xbfa.wav\r\n\r\nb c.wav", b"a.wav\0b c.wav\0"]
    + ["a.wav\r\nb c.wav\r\n".encode(encoding) for encoding in ("utf-16", "utf-16-le")],
)
def test_a_list_on_standard_input(content: bytes) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(content))
    assert list(paths_in(stdin)) == [Path("a.wav"), Path("b c.wav")]
