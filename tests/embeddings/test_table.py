"""EmbeddingTable: the rows of parts, in blocks and by layer, and what it refuses."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.backbones import load_backbone
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.embeddings import shares
from earmark.embeddings.embedding import embed
from earmark.embeddings.table import EmbeddingTable
from earmark.errors import DataError, EarmarkError
from made_parts import make_parts

pytest.importorskip("pyarrow")
pytest.importorskip("pyopen_wakeword", reason="it carries the weights of speech-embedding")
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("speech-embedding")


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    """22 clips; two cannot be read, and two have the same sound."""
    folder, rng = tmp_path_factory.mktemp("recordings"), np.random.default_rng(1)
    for k in range(20):
        samples = 0.1 * rng.normal(size=int(RATE_HZ * rng.uniform(0.2, 0.6)))
        soundfile.write(folder / f"{k:02d}.wav", samples, RATE_HZ)
    (folder / "05.wav").write_bytes(b"no audio")
    (folder / "13.wav").write_bytes((folder / "12.wav").read_bytes())
    paths = sorted(folder.glob("*.wav"))
    some = [Clip(path, "ab"[k % 2], group=f"g{k % 3}") for k, path in enumerate(paths)]
    return [
        *some,
        Clip(folder / "00.wav", "a", 0.0, 0.1, "g0"),
        Clip(folder / "x.wav", "b", group="g1"),
    ]


@pytest.fixture(scope="module", autouse=True)
def _small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shares, "PART_CLIPS", 8)
        yield


@pytest.fixture(scope="module")
def folder(clips, backbone, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("parts") / "out"
    make_parts(out, clips, backbone, clips[0].path.parent)
    return out


def test_rows_are_those_of_embed_however_they_are_taken(folder, clips, backbone):
    table, expected = EmbeddingTable(folder), embed(clips, backbone)
    matrix = expected.matrix
    assert table.shape == matrix.shape == (20, 4800) and table.dtype == matrix.dtype
    assert len(table) == 20 and table.nbytes == matrix.nbytes
    mask = np.arange(20) % 3 == 1
    for index in (slice(None), slice(3, 11, 2), np.array([17, 2, 2, 9]), mask, slice(0, 0)):
        assert table[index].tobytes() == matrix[index].tobytes()
        assert table.only(index)[:].tobytes() == matrix[index].tobytes()
    assert np.array_equal(table.only(mask).only(np.array([4, 1]))[:], matrix[mask][[4, 1]])
    assert np.array_equal(np.concatenate(list(table.blocks())), matrix)
    with pytest.raises(TypeError, match="take some"):
        np.asarray(table)


def test_a_layer_is_read_alone(folder, clips, backbone):
    table = EmbeddingTable(folder)
    names = ["conv6", "embedding"]
    layers = np.concatenate(list(table.blocks(names)))
    assert np.array_equal(layers, embed(clips, backbone).features(names))
    assert [len(block) for block in table.blocks(["conv1"])] == [7, 8, 5]


@pytest.mark.parametrize("most_bytes", [None, 10_000])
def test_embeddings_of_a_table_are_those_of_embed(folder, clips, backbone, most_bytes):
    own, expected = EmbeddingTable(folder), embed(clips, backbone)
    read = own.embeddings(clips, backbone.info, most_bytes=most_bytes)
    assert isinstance(read.matrix, np.ndarray) == (most_bytes is None)
    assert np.array_equal(read.matrix[:], expected.matrix)
    assert read.clips == expected.clips and read.computed == 0
    assert read.sounds.tolist() == expected.sounds.tolist()
    assert list(read.contents) == list(expected.contents)
    assert list(read.keys) == list(expected.keys)
    assert np.array_equal(read.clip_seconds, expected.clip_seconds)
    assert [(f.path, f.reason, f.key) for f in read.failures] == [
        (f.path, f.reason, f.key) for f in expected.failures
    ]
    some = own.embeddings(clips[3:9], backbone.info, most_bytes=most_bytes)
    assert some.clips == tuple(clips[k] for k in (3, 4, 6, 7, 8)) and len(some.failures) == 1
    assert np.array_equal(some.matrix[:], expected.matrix[[3, 4, 5, 6, 7]])


def test_clips_that_are_not_there_and_missing_layers_are_refused(folder, clips, backbone, tmp_path):
    table = EmbeddingTable(folder)
    for wrong in ([clips[3], clips[2]], [replace(clips[0], end=0.2)]):
        with pytest.raises(DataError, match="is not in the parts of"):
            table.embeddings(wrong, backbone.info)
    make_parts(tmp_path / "last", clips[:3], backbone, clips[0].path.parent, layers="last")
    last = EmbeddingTable(tmp_path / "last")
    assert last.shape == (3, 192)
    with pytest.raises(DataError, match="only the layers embedding, but all are needed"):
        last.embeddings(clips[:3], backbone.info)


def test_a_folder_of_parts_is_data(folder, clips, tmp_path):
    data = Dataset.read(folder)
    assert list(data.clips) == clips and data.labels == ["a", "b"]
    moved = Dataset.read(folder, root=tmp_path)  # recordings need not be there
    assert [clip.path for clip in moved.clips[:2]] == [tmp_path / "00.wav", tmp_path / "01.wav"]
    assert Dataset.read(folder, group="group").clips[1].group == "g1"


def test_parts_that_are_missing_or_changed_are_no_data(clips, backbone, tmp_path):
    out = tmp_path / "out"
    make_parts(out, clips, backbone, clips[0].path.parent)
    file = sorted(out.glob("part-*"))[1]
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"x")
    for read in (Dataset.read, EmbeddingTable):
        with pytest.raises(DataError, match="is missing or has changed since it was written. Run"):
            read(out)
    file.unlink()
    with pytest.raises(DataError, match="is missing or has changed"):
        Dataset.read(out)
    file.write_bytes(whole)
    assert len(Dataset.read(out)) == len(clips)
    (out / "parts.csv").unlink()
    with pytest.raises(DataError, match=r"has no parts\.csv, so parts may be missing. Run"):
        Dataset.read(out)


def test_files_that_were_edited_are_refused_with_a_sentence(folder, tmp_path):
    for damage in (
        {"layers": {"conv1": "x"}},
        {"layers": {}},
        {"backbone": 1},
        {"fingerprint": None},
    ):
        edited = shutil.copytree(folder, tmp_path / "edited", dirs_exist_ok=True)
        settings = json.loads((edited / "parts.json").read_text()) | damage
        (edited / "parts.json").write_text(json.dumps(settings))
        with pytest.raises(EarmarkError, match="does not say what the parts share"):
            EmbeddingTable(edited)
    for damage in ({"layers": {"conv99": 192}}, {"layers": {"conv1": 96}}):
        settings = json.loads((folder / "parts.json").read_text()) | damage
        (edited / "parts.json").write_text(json.dumps(settings))
        with pytest.raises(EarmarkError, match=r"is damaged|has other rows than parts\.json"):
            EmbeddingTable(edited)[:2]
    (edited / "parts.csv").write_text(
        (folder / "parts.csv").read_text().replace("part-", "../part-")
    )
    with pytest.raises(EarmarkError, match="is not a table of parts .* not the name of a file"):
        EmbeddingTable(edited)
