"""Batches of Arrow: the numbers of parts, failures as rows, recordings as bytes."""

import itertools

import numpy as np
import pytest
import soundfile

from earmark.data.clip import Clip
from earmark.embeddings import batch_schema, embed_batches, shares
from earmark.embeddings.part_files import read_layers
from earmark.errors import DataError
from made_parts import make_parts

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
RATE_HZ, COUNT = 16_000, 11


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    monkeypatch.setattr(shares, "PART_CLIPS", 4)
    rng = np.random.default_rng(5)
    for k in range(COUNT):
        x = 0.1 * rng.standard_normal(RATE_HZ // 4 * (1 + k % 3))
        soundfile.write(tmp_path / f"{k:02}.wav", x, RATE_HZ)
    (tmp_path / "05.wav").write_bytes(b"no audio")
    return tmp_path


def rows_of(folder) -> list[dict]:
    return [{"path": f"{k:02}.wav", "label": "ab"[k % 2], "end": 0.2} for k in range(COUNT)]


def in_batches(rows: list[dict], size: int):
    rows = iter(rows)
    while some := list(itertools.islice(rows, size)):
        yield pa.RecordBatch.from_pylist(some)


@pytest.mark.parametrize("size", [1, 3, COUNT])
def test_the_numbers_are_those_of_parts(recordings, size):
    from earmark.backbones import load_backbone

    network = load_backbone("logmel")
    clips = [
        Clip(recordings / row["path"], row["label"], end=row["end"]) for row in rows_of(recordings)
    ]
    done = make_parts(recordings / "parts", clips, network, recordings)
    batches = list(embed_batches(in_batches(rows_of(recordings), size), network, root=recordings))
    assert [len(batch) for batch in batches] == [4, 4, 3]
    for batch, summary in zip(batches, done.summaries, strict=True):
        assert batch.schema == batch_schema(network)
        path = recordings / "parts" / summary.file
        file = pq.read_table(path)
        names = [name for name in batch.schema.names if name.startswith("layer_")]
        layers = read_layers(path, [name.removeprefix("layer_") for name in names])
        is_read = np.array([error is None for error in batch["error"].to_pylist()])
        own = np.hstack([
            np.stack([np.asarray(cell) for cell in batch[name].to_pylist() if cell is not None])
            for name in names
        ])  # fmt: skip
        np.testing.assert_array_equal(own, layers[is_read].astype(np.float32))
        for name in ("key", "path", "version", "start", "end", "seconds", "label", "error"):
            assert batch[name].to_pylist() == file[name].to_pylist()


def test_recordings_may_be_bytes(recordings):
    rows = [row for row in rows_of(recordings) if row["path"] != "05.wav"]
    held = [
        {
            "audio": {"bytes": (recordings / row["path"]).read_bytes(), "path": row["path"]},
            "label": row["label"],
            "end": row["end"],
        }
        for row in rows
    ]
    from_files = embed_batches(in_batches(rows, 4), "logmel", root=recordings, layers="last")
    from_bytes = embed_batches(in_batches(held, 4), "logmel", root=recordings, layers="last")
    for one, other in zip(from_files, from_bytes, strict=True):
        assert one.equals(other)
    held[2]["audio"]["bytes"] = None
    with pytest.raises(DataError, match="the batches, row 3: the column 'audio' has no bytes"):
        list(embed_batches(in_batches(held, 4), "logmel"))


def test_what_cannot_be_a_clip_is_refused(recordings):
    def embedded(**cells) -> list:
        rows = [*rows_of(recordings)[:2], {**rows_of(recordings)[2], **cells}]
        return list(embed_batches(in_batches(rows, 2), "logmel", root=recordings))

    with pytest.raises(DataError, match=r"the batches, row 3: the path is empty"):
        embedded(path="")
    with pytest.raises(DataError, match="1 of 1 row names a recording elsewhere"):
        embedded(path="s3://bucket/a.wav")
    assert list(embed_batches([], "logmel")) == []
