"""Layouts of well-known data sets, and names of files that are not UTF-8 beside text."""

import io
import os
from pathlib import Path

from earmark.apps.cli.lists import paths_in
from earmark.data.dataset import Dataset
from made_data import make, manifest, refusal


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
        "'Actor_01', 'Actor_02' are named like speakers or parts" in Dataset.read(actors).notes[0]
    )
    inner = ("fan/normal/a.wav", "fan/odd/b.wav", "pump/normal/c.wav", "pump/odd/d.wav")
    (note,) = Dataset.read(make(tmp_path / "b", *inner)).notes
    assert "has the same sub-folders, 'normal', 'odd', which are ignored" in note
    assert Dataset.read(make(tmp_path / "c", "fan/x/a.wav", "pump/y/b.wav")).notes == ()


def test_folders_of_which_one_is_named_like_a_split_with_the_same_inside_are_refused(tmp_path):
    inner = ("gold/cat/a.wav", "gold/dog/b.wav", "train/cat/c.wav", "train/dog/d.wav")
    said = refusal(make(tmp_path, *inner))
    assert "'gold', 'train', each with the sub-folders 'cat', 'dog', so they may be spl" in said
    assert "--split-map gold=train,train=train (or =test), or --split-map none if" in said
    assert Dataset.read(tmp_path, split_map="gold=test").labels == ["cat", "dog"]
    assert Dataset.read(tmp_path, split_map="none").labels == ["gold", "train"]


def test_a_manifest_in_a_folder_beside_the_recordings_finds_them(tmp_path):
    make(tmp_path, *(f"audio/{k}.wav" for k in range(4)), "wav/only.wav")
    table = tmp_path / "meta" / "esc.csv"
    table.parent.mkdir()
    table.write_text("filename,label\n" + "".join(f"{k}.wav,{k % 2}\n" for k in range(4)))
    assert f"Is {table} the manifest?" in refusal(tmp_path)
    audio = tmp_path / "audio"
    assert f"The files are in {audio}: give it as --root." in refusal(table, path="filename")
    assert len(Dataset.read(table, path="filename", root=audio)) == 4
    table.write_text("path,label\nonly,a\nother,b\n")
    assert f"Is '{tmp_path}/wav/only.wav' the first?" in refusal(table)
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
    assert "'cat,animal', each read as one class" in note and "add --separator ','" in note
    unused, note = Dataset.read(manifest(tmp_path, joined), separator=";").notes
    assert "no label has the separator ';'" in unused and "add --separator ','" in note
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
    assert "add --start 'offset'" in Dataset.read(manifest(tmp_path, text)).notes[0]
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
