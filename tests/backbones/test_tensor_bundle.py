"""Weights of TensorFlow and ONNX read without either, from files that may lie."""

from pathlib import Path

import numpy as np
import pytest

import wire
from earmark.backbones.networks import onnx_weights, protobuf, tensor_bundle
from earmark.backbones.networks.onnx_weights import read_initializers
from earmark.backbones.networks.tensor_bundle import read_bundle
from earmark.errors import BackboneError

TENSORS = {
    "model/conv/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "model/conv/bias": np.array([0.5, -1], np.float32),
    "model/step": np.array(7, np.float32),
}
SIZE = sum(values.nbytes for values in TENSORS.values())


def written(folder: Path, index: bytes, data: bytes) -> tuple[Path, Path]:
    (folder / "v.index").write_bytes(index)
    (folder / "v.data").write_bytes(data)
    return folder / "v.index", folder / "v.data"


def test_a_bundle_is_read(tmp_path):
    tensors = read_bundle(*written(tmp_path, *wire.bundle(TENSORS)))
    assert tensors.keys() == TENSORS.keys()
    for name, values in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], values)


def test_tensors_of_other_types_are_left_out(tmp_path):
    entries = [(b"", wire.header()), (b"a", wire.entry((1,), 0, 9, kind=7))]
    assert read_bundle(*written(tmp_path, wire.table(entries), b"")) == {}


LIES = {
    "beyond": ([wire.entry((3,), 4, 12)], "cannot be the 12 bytes at 4"),
    "size": ([wire.entry((3,), 0, 8)], "cannot be the 8 bytes at 0"),
    "huge": ([wire.entry((2**40, 2**40), 0, 2**63)], "cannot be the"),
    "negative": ([wire.entry((2**64 - 1,), 0, 2**64 - 4)], "cannot be the"),
    "twice": ([wire.entry((3,), 0, 12)] * 2, "more bytes than the data file"),
    "shard": ([wire.entry((1,), 0, 4, shard=1)], "in another file"),
    "axes": ([wire.entry((1,) * 9, 0, 4)], "more than 8 axes"),
    "slices": ([wire.entry((1,), 0, 4) + wire.field(7, b"")], "in slices"),
    "bytes": ([wire.field(1, b"float")], "bytes instead of an integer"),
    "integer": ([wire.field(1, 1) + wire.field(2, 3)], "an integer instead of bytes"),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_index_that_lies_is_refused(lie, tmp_path):
    entries, words = LIES[lie]
    named = [(b"tensor%d" % n, entry) for n, entry in enumerate(entries)]
    files = written(tmp_path, wire.table([(b"", wire.header()), *named]), bytes(12))
    with pytest.raises(BackboneError, match=f"v.index is damaged .*{words}.*Fetch both again"):
        read_bundle(*files)


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (b"", "does not end like a LevelDB table"),
        (b"\0" * 40 + bytes.fromhex("57fb808b247547db"), "a block"),
        (wire.table([(b"", wire.header(shards=2))]), "in several files or big-endian"),
        (wire.table([(b"", wire.header(endianness=1))]), "in several files or big-endian"),
        (wire.table([], compression=1), "compressed"),
        (wire.table([(b"n" * 1_025, b"")]), "an entry is longer"),
        (wire.table([(b"\xff", wire.entry((1,), 0, 4))]), "can't decode"),
    ],
)
def test_no_bundle_of_one_file_is_refused(index, words, tmp_path):
    with pytest.raises(BackboneError, match=words):
        read_bundle(*written(tmp_path, index, bytes(4)))


def test_nan_is_refused(tmp_path):
    tensors = TENSORS | {"model/step": np.array(np.nan)}
    with pytest.raises(BackboneError, match="'model/step' has NaN"):
        read_bundle(*written(tmp_path, *wire.bundle(tensors)))


def test_files_that_are_too_large_or_none_are_not_read(tmp_path, monkeypatch):
    index, data = written(tmp_path, *wire.bundle(TENSORS))
    monkeypatch.setattr(tensor_bundle, "MAX_DATA_BYTES", SIZE - 1)
    with pytest.raises(BackboneError, match="v.data has 108 bytes, but at most 107"):
        read_bundle(index, data)
    with pytest.raises(BackboneError, match="cannot be read"):
        read_bundle(tmp_path, data)
    monkeypatch.undo()
    monkeypatch.setattr(tensor_bundle, "MAX_TENSORS", 2)
    with pytest.raises(BackboneError, match="more than 2 tensors"):
        read_bundle(index, data)


def test_any_damage_gives_one_sentence_or_numbers(tmp_path):
    """Cut anywhere, and with any byte changed."""
    index, data = wire.bundle(TENSORS)
    rng = np.random.default_rng(0)
    damaged = [index[:size] for size in range(0, len(index), 3)]
    for at in range(len(index)):
        changed = bytearray(index)
        changed[at] = rng.integers(256)
        damaged.append(bytes(changed))
    refused = 0
    for content in damaged:
        try:
            tensors = read_bundle(*written(tmp_path, content, data))
            assert sum(values.nbytes for values in tensors.values()) <= SIZE
        except BackboneError:
            refused += 1
    assert refused > len(index) // 3


def test_an_onnx_file_is_read(tmp_path):
    (tmp_path / "m.onnx").write_bytes(wire.onnx(TENSORS))
    tensors = read_initializers(tmp_path / "m.onnx")
    assert tensors.keys() == TENSORS.keys()
    for name, values in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], values)


def tensor(shape: bytes, raw: bytes) -> bytes:
    return wire.field(7, wire.field(5, shape + wire.field(2, 1) + wire.field(9, raw)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no graph"),
        (wire.field(7, 1), "an integer instead of bytes"),
        (tensor(wire.field(1, 3), bytes(8)), "8 bytes and shape"),
        (tensor(wire.field(1, b"\x01\x02"), bytes(4)), r"4 bytes and shape \[1, 2\]"),
        (tensor(wire.field(1, 1) * 9, bytes(4)), "more than 8 axes"),
        (tensor(wire.field(1, 1), b"\0\0\xc0\x7f"), "NaN"),
        (b"\x80" * 11, "an integer does not end"),
        (b"\x0b", "unknown type 3"),
        (wire.varint(7 << 3 | 2) + b"\x7f", "a field longer than its message"),
    ],
)
def test_no_onnx_model_is_refused(content, words, tmp_path):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(BackboneError, match=f"m.onnx is damaged or not an ONNX model: .*{words}"):
        read_initializers(tmp_path / "m.onnx")


def test_an_onnx_file_that_is_too_large_or_none_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "m.onnx").write_bytes(wire.onnx(TENSORS))
    monkeypatch.setattr(onnx_weights, "MAX_TENSORS", 2)
    with pytest.raises(BackboneError, match="more than 2 tensors"):
        read_initializers(tmp_path / "m.onnx")
    monkeypatch.setattr(onnx_weights, "MAX_BYTES", 99)
    with pytest.raises(BackboneError, match="at most 99 are read"):
        read_initializers(tmp_path / "m.onnx")
    with pytest.raises(BackboneError, match="cannot be read|damaged"):
        read_initializers(tmp_path)


def test_numbers_of_fixed_size_are_read():
    message = wire.varint(1 << 3 | 1) + bytes(7) + b"\1" + wire.varint(2 << 3 | 5) + b"\2\0\0\0"
    assert list(protobuf.fields(memoryview(message))) == [(1, 1 << 56), (2, 2)]
