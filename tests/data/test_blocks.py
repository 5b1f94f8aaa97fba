"""Clips in blocks: the clips of ``Dataset.read``, without a list of all."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.data.blocks import ClipBlocks
from earmark.data.dataset import Dataset
from earmark.embeddings.shares import ALL, Share
from earmark.errors import DataError

NAMES = dict.fromkeys(("path", "label", "start", "end", "group", "fold", "split"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("blocks")
    for label in ("a", "b"):
        (root / label).mkdir()
        for k in range(5):
            soundfile.write(root / label / f"{k}.wav", np.zeros(800), 8_000)
    lines = [f"{label}/{k}.wav,{label},{k}" for label in ("a", "b") for k in range(5)]
    (root / "meta.csv").write_text("\n".join(["path,label,speaker", *lines]) + "\n")
    return root


def clips_of(blocks: ClipBlocks, wanted=ALL) -> list:
    return [clip for _, clips in blocks.blocks(wanted) for clip in clips]


@pytest.mark.parametrize("name", [".", "meta.csv"])
def test_all_blocks_are_the_dataset_and_shares_are_some_of_them(folder, name):
    columns = NAMES | ({"group": "speaker"} if name == "meta.csv" else {})
    blocks = ClipBlocks.read(folder / name, 4, columns=columns)
    settings = {key: other for key, other in columns.items() if other}
    expected = list(Dataset.read(folder / name, **settings).clips)
    assert blocks.n_clips == blocks.count(ALL) == 10 and clips_of(blocks) == expected
    numbers = [number for number, _ in blocks.blocks(Share(1, 2))]
    assert numbers == [0, 2] and blocks.count(Share(1, 2)) == 6 and blocks.count(Share(2, 2)) == 4
    assert clips_of(blocks, Share(2, 2)) == expected[4:8]
    assert clips_of(blocks, Share(2, 2)) == expected[4:8]  # another pass


def test_rows_that_are_not_wanted_are_not_looked_at(folder, tmp_path):
    lines = [f"{folder}/a/{k % 5}.wav,{0.01 * k},{0.01 * k + 0.005}" for k in range(9)]
    lines[6] = lines[6].replace("0.06,", "x,")
    manifest = tmp_path / "stretches.csv"
    manifest.write_text("\n".join(["path,start,end", *lines]) + "\n")
    blocks = ClipBlocks.read(manifest, 3, columns=NAMES)
    assert len(clips_of(blocks, Share(1, 3))) == len(clips_of(blocks, Share(2, 3))) == 3
    with pytest.raises(DataError, match=r"stretches.csv, row 8: start 'x' is not a number"):
        clips_of(blocks, Share(3, 3))


def test_what_cannot_be_data_is_said_at_once(folder, tmp_path):
    (tmp_path / "none.csv").write_text("path,label\n")
    with pytest.raises(DataError, match=r"none.csv has no rows. Write one row per clip"):
        ClipBlocks.read(tmp_path / "none.csv", 4, columns=NAMES)
    (tmp_path / "gone.csv").write_text("path\n" + "".join(f"{k}.wav\n" for k in range(9)))
    with pytest.raises(DataError, match="4 of 4 rows name a recording that does not exist"):
        ClipBlocks.read(tmp_path / "gone.csv", 4, columns=NAMES)
    with pytest.raises(DataError, match="no column 'speakr'"):
        ClipBlocks.read(folder / "meta.csv", 4, columns=NAMES | {"group": "speakr"})
    with pytest.raises(DataError, match="does not exist"):
        ClipBlocks.read(tmp_path / "nowhere.csv", 4, columns=NAMES)


def test_lists_of_classes_need_a_separator_before_the_first_part(folder, tmp_path):
    lines = [f'{{"path": "{folder}/a/{k}.wav", "label": "a"}}' for k in range(4)]
    lines.append(f'{{"path": "{folder}/a/4.wav", "label": ["a", "b"]}}')
    manifest = tmp_path / "lists.jsonl"
    manifest.write_text("\n".join(lines))
    with pytest.raises(DataError, match="lists of classes, but none in its first 2 rows"):
        clips_of(ClipBlocks.read(manifest, 2, columns=NAMES))
    blocks = ClipBlocks.read(manifest, 2, columns=NAMES, separator=";")
    assert [clip.label for clip in clips_of(blocks)] == ["a"] * 4 + ["a;b"]
    manifest.write_text("\n".join(lines[::-1]))
    assert ClipBlocks.read(manifest, 2, columns=NAMES).separator == ";"


def test_the_rows_of_a_block_become_clips_when_it_is_needed(folder, tmp_path, monkeypatch):
    from earmark.data.rows import RowReader

    made, clip = list[int](), RowReader.clip
    manifest = tmp_path / "long.csv"
    lines = [f"{folder}/a/0.wav,{k},{k + 1}" for k in range(300)]
    manifest.write_text("\n".join(["path,start,end", *lines]) + "\n")
    blocks = ClipBlocks.read(manifest, 10, columns=NAMES)
    monkeypatch.setattr(RowReader, "clip", lambda *arguments: (made.append(1), clip(*arguments))[1])
    stream = blocks.blocks(ALL)
    assert next(stream)[0] == 0 and len(made) == 10
    assert next(stream)[0] == 1 and len(made) == 20
