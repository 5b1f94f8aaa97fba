"""A folder with earmark.csv is read as that manifest."""

import pytest

from earmark.data.dataset import Dataset
from earmark.data.other_columns import other_columns
from earmark.errors import DataError
from made_data import make, refusal

NAMES = ("a/1.wav", "a/2.wav", "b/1.wav", "models/x.earmark", "loose.wav")


def test_its_labels_count_whatever_else_is_in_the_folder(tmp_path):
    make(tmp_path, *NAMES)
    (tmp_path / "a" / "1.txt").write_text("0\t1\tother\n")
    (tmp_path / "earmark.csv").write_text("path,label,who\na/1.wav,cat,x\nb/1.wav,dog,y\n")
    for data in (tmp_path, f"{tmp_path}/"):
        read = Dataset.read(data)
        assert [(c.path.relative_to(tmp_path).as_posix(), c.label) for c in read] == [
            ("a/1.wav", "cat"),
            ("b/1.wav", "dog"),
        ]
    assert read.notes[0].startswith(f"labels are those of {tmp_path}/earmark.csv;")
    assert read.source == str(tmp_path / "earmark.csv")
    assert other_columns(read) == {"who": ["x", "y"]}
    assert len(Dataset.read(tmp_path, need_labels=False)) == 2
    assert {c.group for c in Dataset.read(tmp_path, group="who")} == {"x", "y"}
    assert Dataset.read(**read.origin) == read


def test_a_folder_without_it_is_read_as_before(tmp_path):
    make(tmp_path, "a/1.wav", "b/1.wav", "b/earmark.csv")
    assert Dataset.read(tmp_path).labels == ["a", "b"] and Dataset.read(tmp_path).notes == ()


def test_one_that_cannot_be_read_is_not_passed_over(tmp_path):
    make(tmp_path, "a/1.wav", "b/1.wav")
    (tmp_path / "earmark.csv").write_text("path,label\n")
    assert f"{tmp_path}/earmark.csv has no rows" in refusal(tmp_path)
    (tmp_path / "earmark.csv").unlink()
    (tmp_path / "earmark.csv").mkdir()
    assert "is not a file but a folder" in refusal(tmp_path)
    (tmp_path / "earmark.csv").rmdir()
    (tmp_path / "earmark.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="does not exist"):
        Dataset.read(tmp_path)
