"""Data that could mean something else than it says: splits, columns, encodings, tracks, lists."""

import io
import json
import os
import unicodedata
from pathlib import Path

import pytest

from earmark.apps.cli.lists import paths_in
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset, listed
from earmark.data.doctor import check_table
from earmark.data.split_words import HELD_OUT, role
from earmark.data.splits import make_scheme, understood
from earmark.errors import DataError


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def refusal(data: Path, **options: object) -> str:
    with pytest.raises(DataError) as refused:
        Dataset.read(data, **options)  # type: ignore[arg-type]
    return str(refused.value)


def manifest(folder: Path, text: str | bytes, name: str = "m.csv") -> Path:
    make(folder, "a.wav", "b.wav", "sub/c.wav")
    content = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(content)
    return folder / name


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
        assert "is not understood; give WORD=train" in refusal(path, split_map=wrong)
    assert "names 'A' twice" in refusal(path, split_map="a=train,A=test")


def test_numbers_in_a_split_may_be_folds(tmp_path: Path) -> None:
    path = with_splits(tmp_path, "0", "1", "2")
    assert "if they are folds, give --fold split" in refusal(path)
    data = Dataset.read(path, fold="split")
    assert {(clip.fold, clip.split) for clip in data} == {("0", None), ("1", None), ("2", None)}


def test_folds_that_are_called_like_splits_are_refused(tmp_path: Path) -> None:
    path = with_splits(tmp_path, "train", "test")
    assert "which are names of splits; give --split split" in refusal(path, fold="split")


TREE = [f"{s}/{c}/{k}.wav" for s in ("Train", "val", "TEST") for c in ("dog", "cat") for k in "12"]


def test_top_folders_may_be_splits(tmp_path: Path) -> None:
    data = Dataset.read(make(tmp_path, *TREE))
    assert data.labels == ["cat", "dog"]
    assert [c.split for c in data] == ["TEST"] * 4 + ["Train"] * 4 + ["val"] * 4
    assert (
        "'TEST', 'Train', 'val' are read as splits; earmark 0.1 took them for cl" in data.notes[0]
    )
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
    assert understood(data.clips) == "10 folds given, each is tested once"


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    data = Dataset.read(make(tmp_path, "train/1.wav", "car/2.wav", "bus/3.wav"))
    assert data.labels == ["bus", "car", "train"]
    assert data.notes[0].startswith("the folder 'train' is read as a class, like its neighbours")


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("train/1.wav", "test/2.wav"), "and in no class folder; put each"),
        (("fold1/1.wav", "fold2/2.wav"), "one of the folds 'fold1', 'fold2', and in no"),
        (("train/a/1.wav", "test/a/2.wav", "more/a/3.wav"), "give --split-map more=train"),
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
    assert "earmark 0.1 trained on those clips" in data.notes[0]


# Columns


def test_a_missing_path_offers_what_looks_like_it(tmp_path: Path) -> None:
    for name in ("file_name", "Filename", "filepath", "wav", "recording", "slice_file_name"):
        path = manifest(tmp_path, f"{name},label\na.wav,x\nb.wav,y\n")
        assert f"no column 'path'; if that is in {name!r}, give --path {name}; it" in refusal(path)
        assert len(Dataset.read(path, path=name)) == 2
    path = manifest(tmp_path, "path,category,species\na.wav,x,1\nb.wav,y,2\n")
    assert "give --label category or --label species; it has" in refusal(path)


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
    assert "'Path', 'PATH' may be meant: name one with --path" in refusal(path)
    manifest(
        tmp_path, "path,label,notes,notes,onset,subset\na.wav,x,1,2,0,train\nb.wav,y,1,2,0,u\n"
    )
    notes = Dataset.read(path).notes
    assert any("'onset' is not used; give --start 'onset'" in note for note in notes)
    assert any("'subset' is not used; give --split 'subset'" in note for note in notes)


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
            "its encoding is not clear; save it as UTF-8",
        ),
        ("path,label\na.wav,żuraw\n".encode("cp1250"), "its encoding is not clear"),
        (b"path,label\na.wav,x\nb.wav,y\0y\n", "line 3: it holds a NUL character"),
        (b"\xff\xfe" + b"p\0a\0t", "begins as UTF-16 and is not"),
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
    assert "holds a NUL character; remove it" in refusal(manifest(tmp_path, text, "m.json"))


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
    assert "row 3: it begins in 'c.wav' and ends in 'd.wav'; draw it within one" in text


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


# The layouts of well-known data sets


def test_folders_with_a_word_for_a_split_in_their_names_are_not_taken_for_classes(tmp_path):
    for name in ("train_audio/dog/a.wav", "train_audio/cat/b.wav", "testAudio/dog/c.wav"):
        make(tmp_path, name)
    said = refusal(tmp_path)
    assert "--split-map testAudio=test,train_audio=train, or --split-map none" in said
    data = Dataset.read(tmp_path, split_map="testAudio=test,train_audio=train")
    assert data.labels == ["cat", "dog"] and len(data.to_test()) == 1
    sounds = make(tmp_path / "b", "freight train/a.wav", "test tone/b.wav")
    assert "'freight train', 'test tone' are read as classes" in Dataset.read(sounds).notes[0]
    some = make(tmp_path / "c", "train_set/a/a.wav", "dev_set/a/b.wav", "noise/c.wav")
    assert "'dev_set', 'train_set' are read as classes" in Dataset.read(some).notes[0]


def test_folders_of_persons_and_of_the_same_sub_folders_are_told(tmp_path):
    actors = make(tmp_path / "a", "Actor_01/a.wav", "Actor_02/b.wav")
    assert (
        "'Actor_01', 'Actor_02' are called like speakers or parts" in Dataset.read(actors).notes[0]
    )
    inner = ("fan/normal/a.wav", "fan/odd/b.wav", "pump/normal/c.wav", "pump/odd/d.wav")
    (note,) = Dataset.read(make(tmp_path / "b", *inner)).notes
    assert "has the same sub-folders, 'normal', 'odd', which count for nothing" in note
    assert Dataset.read(make(tmp_path / "c", "fan/x/a.wav", "pump/y/b.wav")).notes == ()


def test_a_manifest_in_a_folder_beside_the_recordings_finds_them(tmp_path):
    make(tmp_path, *(f"audio/{k}.wav" for k in range(4)), "wav/only.wav")
    table = tmp_path / "meta" / "esc.csv"
    table.parent.mkdir()
    table.write_text("filename,label\n" + "".join(f"{k}.wav,{k % 2}\n" for k in range(4)))
    assert f"Is {table} the manifest?" in refusal(tmp_path)
    audio = tmp_path / "audio"
    assert f"Give --root {audio}, where they are." in refusal(table, path="filename")
    assert len(Dataset.read(table, path="filename", root=audio)) == 4
    table.write_text("path,label\nonly,a\nother,b\n")
    assert f"Is '{tmp_path}/wav/only.wav' the first of them?" in refusal(table)
    assert "has no columns" in refusal(audio, root=tmp_path)
    make(tmp_path / "hf", "test/a.wav", "test/metadata.csv", "train/b.wav", "train/metadata.csv")
    assert f"Is {tmp_path}/hf/train/metadata.csv the manifest?" in refusal(tmp_path / "hf")


def test_a_fourth_column_of_a_track_is_a_score_only_beside_a_name(tmp_path):
    make(tmp_path, "a.wav", "b.wav")
    (tmp_path / "a.txt").write_text("0\t1\tcrow\t0.9\n1\t2\tjay\t0.8\n")
    assert Dataset.read(tmp_path / "a.txt").labels == ["crow", "jay"]
    (tmp_path / "b.txt").write_text("0\t1\t0\t1\n1\t2\t1\t0\n")  # of ICBHI: two yes or no
    assert "row 1: '0\\t1\\t0\\t1' is not start, end and label" in refusal(tmp_path / "b.txt")


def test_labels_that_are_several_in_one_cell_are_lists_or_told(tmp_path):
    text = """path,label\na.wav,"['dog', 'rain']"\nb.wav,[]\nsub/c.wav,['rain']\n"""
    data = Dataset.read(manifest(tmp_path, text))
    assert [data.classes(clip) for clip in data] == [("dog", "rain"), (), ("rain",)]
    assert "'label' has lists written as text" in data.notes[0]
    brackets = "path,label\na.wav,[noise]\nb.wav,[1]\n"
    assert Dataset.read(manifest(tmp_path, brackets)).labels == ["[1]", "[noise]"]
    joined = 'path,label\na.wav,"dog,animal"\nb.wav,"cat,animal"\nsub/c.wav,rain\n'
    (note,) = Dataset.read(manifest(tmp_path, joined)).notes
    assert "'cat,animal', each read as one class" in note and "give --separator ','" in note
    unused, note = Dataset.read(manifest(tmp_path, joined), separator=";").notes
    assert "';' is in no label" in unused and "give --separator ','" in note
    assert Dataset.read(manifest(tmp_path, joined), separator=",").notes == ()
    named = 'path,label\na.wav,"Beep, bleep"\nb.wav,"Fire engine, truck"\n'
    assert Dataset.read(manifest(tmp_path, named)).notes == ()


def test_columns_of_times_and_splits_in_other_forms_are_told(tmp_path):
    text = "path,label,start_ms,is_test\na.wav,x,0,1\nb.wav,y,500,0\n"
    split, start = Dataset.read(manifest(tmp_path, text)).notes
    assert "--split 'is_test'" in split and "times must be in seconds" in start
    other = manifest(tmp_path, "path,label,start,end\na.wav,x,58.5,62.5\nb.wav,y,10,14\n")
    assert {clip.end for clip in Dataset.read(other)} == {62.5, 14}
    assert {clip.end for clip in Dataset.read(other, start="none", end="none")} == {None}
    text = "path,label,offset\na.wav,x,0\nb.wav,y,1\n"
    assert "give --start 'offset'" in Dataset.read(manifest(tmp_path, text)).notes[0]
    text = "path,label,onset,offset\na.wav,x,0,1\nb.wav,y,1,2\n"
    notes = Dataset.read(manifest(tmp_path, text)).notes
    assert "--start 'onset'" in notes[0] and "--end 'offset'" in notes[1]


# Names that are not UTF-8, beside text that is not


def test_names_of_files_keep_their_bytes_and_labels_are_read(tmp_path):
    for name in ("caf\xe9.wav".encode("latin-1"), "na\xefve.wav".encode()):
        (tmp_path / os.fsdecode(name)).touch()
    text = "path,label\ncaf\xe9.wav,m\xe9chant\nna\xefve.wav,b\n".encode("latin-1")
    data = Dataset.read(manifest(tmp_path, text))
    assert data.labels == ["b", "m\xe9chant"] and all(clip.path.is_file() for clip in data)
    assert "Windows-1252 (Latin-1), as in 'm\xe9chant'" in data.notes[0]
    track = b"Begin Time (s)\tEnd Time (s)\tLabel\tBegin Path\tFile Offset (s)\n"
    track += b"0\t1\tm\xe9chant\t/home/x/caf\xe9.wav\t0\n1\t2\tb\tC:\\x\\na\xc3\xafve.wav\t1\n"
    (tmp_path / "t.csv").write_bytes(track.replace(b"\t", b","))
    again = Dataset.read(tmp_path / "t.csv")
    assert again.labels == data.labels and all(clip.path.is_file() for clip in again)
    unclear = b"path,label\ncaf\xe9.wav,\x8c\xa2\na.wav,b\n"  # Shift-JIS
    kept = Dataset.read(manifest(tmp_path, unclear))
    assert r"the label '\x8c\xa2' is not UTF-8" in kept.notes[0]


def test_a_list_finds_names_in_another_spelling(tmp_path, monkeypatch):
    names = ["Zoe\u0308.wav", "sub/na\xefve.wav"]
    make(tmp_path, *names)
    monkeypatch.chdir(tmp_path)
    lines = "Zo\xeb.wav\n".encode() + b"sub\\na\xefve.wav\r\nnowhere.wav\r\n"
    first, second, third = paths_in(io.TextIOWrapper(io.BytesIO(lines)))
    assert [first, second] == [tmp_path / name for name in names] and third == Path("nowhere.wav")
