"""The decisions file: what is written, what is read back, and who gets which label."""

from dataclasses import replace
from pathlib import Path

import pytest

from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.errors import DataError, EarmarkError
from earmark.labelling import corrections
from earmark.labelling.suspects import Suspect

HEADER = "path,start,end,label,suggested,evidence,decision"


@pytest.fixture
def data(tmp_path) -> Dataset:
    clips = (
        Clip(tmp_path / "sub/a.wav", "x"),
        Clip(tmp_path / "b.wav", "y", start=0.25, end=1.5),
        Clip(tmp_path / "b.wav", "y", start=2.0, end=3.0),
        Clip(tmp_path / "c.wav", "z"),
    )
    return Dataset(clips, "data")


def decided(data, tmp_path, *rows, header=HEADER):
    path = tmp_path / "decisions.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    found, counts = corrections.apply(data, path)
    return [clip.label for clip in found], dict(counts)


def test_a_row_for_each_suspect_is_written_and_is_read_back(data, tmp_path):
    path = tmp_path / "decisions.csv"
    suspects = [
        Suspect(data.clips[1], "x", 0.98765, "why"),
        Suspect(data.clips[0], None, 0.5, "why"),
    ]
    corrections.write(path, suspects)
    assert path.read_text().splitlines() == [
        HEADER, "b.wav,0.25,1.5,y,x,0.9877,", "sub/a.wav,,,x,,0.5000,"
    ]  # fmt: skip
    found, counts = corrections.apply(data, path)
    assert found.clips == data.clips and counts == {"kept": 2}
    with pytest.raises(EarmarkError):
        corrections.write(path, [])
    assert len(path.read_text().splitlines()) == 3


def test_words_decide(data, tmp_path):
    rows = ("sub/a.wav,,,x,z,1,relabel", "b.wav,0.25,1.5,y,x,1,drop", "b.wav,2,3,y,x,1,z",
            "c.wav,,,z,x,1,keep")  # fmt: skip
    assert decided(data, tmp_path, *rows) == (
        ["z", "z", "z"], {"relabelled": 2, "dropped": 1, "kept": 1}
    )  # fmt: skip
    own = ("sub/a.wav,,,x,,1,x", "b.wav,2,3,y,y,1,relabel", "c.wav,,,z,x,1,")
    assert decided(data, tmp_path, *own) == (["x", "y", "y", "z"], {"kept": 3})
    assert decided(data, tmp_path) == (["x", "y", "y", "z"], {})


def test_blanks_around_cells_are_none_of_them(data, tmp_path):
    rows = ("b.wav, 0.25 ,1.5 , y, x ,1,  relabel ", "c.wav,,, z,,, drop")
    assert decided(data, tmp_path, *rows)[0] == ["x", "x", "y"]


def test_the_column_of_evidence_may_be_missing_and_no_other(data, tmp_path):
    names = HEADER.split(",")
    cells = ["c.wav", "", "", "z", "x", "1", "drop"]
    for missing in names:
        left = [k for k, name in enumerate(names) if name != missing]
        header = ",".join(names[k] for k in left)
        row = ",".join(cells[k] for k in left)
        if missing == "evidence":
            assert decided(data, tmp_path, row, header=header)[1] == {"dropped": 1}
        else:
            with pytest.raises(DataError, match=missing):
                decided(data, tmp_path, row, header=header)


def test_what_is_no_file_is_refused(data, tmp_path):
    with pytest.raises(DataError, match="no-such"):
        corrections.apply(data, tmp_path / "no-such.csv")
    with pytest.raises(DataError, match="folder"):
        corrections.apply(data, tmp_path)


@pytest.mark.parametrize(
    "rows",
    [
        ("sub/a.wav,,,x,,1,y", "sub/a.wav,,,x,,1,z"),
        ("sub/a.wav,,,x,,1,drop", "sub/a.wav,,,x,,1,z"),
        ("sub/a.wav,,,x,z,1,relabel", "sub/a.wav,,,x,,1,drop"),
        ("sub/a.wav,,,x,z,1,relabel", "sub/a.wav,,,x,,1,z"),
        ("sub/a.wav,,,x,,1,relabel",),
        ("sub/a.wav,,,x,q,1,relabel",),
        ("sub/a.wav,,,x,,1,q",),
        ("sub/a.wav,0.5,,x,,1,drop",),
        ("b.wav,0.25,1.25,y,,1,drop",),
        ("b.wav,0.25,,y,,1,drop",),
        ("b.wav,,1.5,y,,1,drop",),
        ("sub/a.wav,,,y,,1,drop",),
        ("a.wav,,,x,,1,drop",),
        ("sub/a.wav,,one,x,,1,drop",),
    ],
)
def test_what_cannot_be_meant_is_refused(data, tmp_path, rows):
    with pytest.raises(DataError, match="decisions.csv"):
        decided(data, tmp_path, *rows)


@pytest.mark.parametrize(
    "rows",
    [
        ("sub/a.wav,,,x,,1,keep", "sub/a.wav,,,x,,1,z"),
        ("sub/a.wav,,,x,,1,z", "sub/a.wav,,,x,,1,z"),
        ("sub/a.wav,,,x,z,1,relabel", "sub/a.wav,,,x,z,1,keep"),
        ("sub/a.wav,,,x,z,1,relabel", "sub/a.wav,,,x,z,1,relabel"),
        ("sub/a.wav,0,,x,z,1,relabel",),
    ],
)
def test_decisions_that_agree_are_one(data, tmp_path, rows):
    assert decided(data, tmp_path, *rows) == (["z", "y", "y", "z"], {"relabelled": 1})


def test_all_may_not_be_dropped(data, tmp_path):
    rows = ["sub/a.wav,,,x,,1,drop", "b.wav,0.25,1.5,y,,1,drop", "b.wav,2,3,y,,1,drop"]
    assert decided(data, tmp_path, *rows) == (["z"], {"dropped": 3})
    with pytest.raises(DataError, match="every clip"):
        decided(data, tmp_path, *rows, "c.wav,,,z,,1,drop")


@pytest.mark.parametrize(
    ("label", "suggested", "after"),
    [
        ("x;y", ["x"], "x"),
        ("x;y", ["y;x;z"], "x;y;z"),
        ("x;y", ["x", "x;y;z"], "x;z"),
        ("x;y", ["x;y;z", "x;y;z"], "x;y;z"),
        ("x;y;z", ["x;z", "y;z"], "z"),
        ("x", ["x;z", "x;y"], "x;z;y"),
    ],
)
def test_changes_of_one_clip_of_several_classes_add_up(data, tmp_path, label, suggested, after):
    clips = (replace(data.clips[0], label=label), *data.clips[1:])
    several = replace(data, clips=clips, separator=";")
    rows = [f"sub/a.wav,,,{label},{other},1,relabel" for other in suggested]
    assert decided(several, tmp_path, *rows)[0][0] == after


def test_no_clip_loses_its_last_class(data, tmp_path):
    clips = (replace(data.clips[0], label="x;y"), *data.clips[1:])
    several = replace(data, clips=clips, separator=";")
    with pytest.raises(DataError, match="without a class"):
        decided(several, tmp_path, "sub/a.wav,,,x;y,x,1,relabel", "sub/a.wav,,,x;y,y,1,relabel")
    none = replace(data, clips=(replace(data.clips[0], label=""), *data.clips[1:]), separator=";")
    assert decided(none, tmp_path, "sub/a.wav,,,,x,1,keep")[0][0] == ""  # it had none before


def test_the_file_stands_for_the_folder_that_it_is_in(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("decisions.csv").write_text(f"{HEADER}\nsub/../sub/a.wav,,,x,z,1,relabel\n")
    assert corrections.apply(data, Path("decisions.csv"))[0].clips[0].label == "z"
