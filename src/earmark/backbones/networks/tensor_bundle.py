"""Read the tensors of a TensorFlow checkpoint ("tensor bundle") without TensorFlow.

A bundle is two files: an index, which is a LevelDB table, and a file with the bytes of all tensors.
The formats are described in ``leveldb/doc/table_format.md``, and in tensorflow/tensorflow in
``core/util/tensor_bundle`` and ``core/protobuf/tensor_bundle.proto``. Only the form that published
weights have is read: one data file, uncompressed blocks, little-endian float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from earmark.backbones.networks.protobuf import fields, integer, message, varint
from earmark.errors import BackboneError, first_line
from earmark.system.files import open_file

MAX_INDEX_BYTES = 1 << 20
MAX_DATA_BYTES = 256 << 20  # more than any network that is read here
MAX_TENSORS = 10_000
MAX_NAME_BYTES = 1_024
MAX_AXES = 8

_FOOTER_BYTES = 48
_MAGIC = bytes.fromhex("57fb808b247547db")
_FLOAT = 1  # DataType in core/framework/types.proto


def read_bundle(index: Path, data: Path) -> dict[str, np.ndarray]:
    """Return the float32 tensors of a bundle by name; those of other types are left out.

    Raises BackboneError for a file that is too large, damaged or not a bundle. The same holds for
    a tensor outside ``data`` or with NaN or infinity, and for tensors that overlap.
    """
    table, store = (
        memoryview(_read(path, most))
        for path, most in ((index, MAX_INDEX_BYTES), (data, MAX_DATA_BYTES))
    )
    try:
        return _tensors(table, store)
    except ValueError as error:
        raise BackboneError(
            f"{index} is damaged or not the index of {data.name}: {first_line(error)}. Fetch both"
            " again."
        ) from error


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        with open_file(path) as file:
            size = path.stat().st_size
            content = file.read(most_bytes + 1) if size <= most_bytes else b""
    except OSError as error:
        raise BackboneError(
            f"{path} cannot be read: {error.strerror}. Check it and its permissions."
        ) from error
    if size > most_bytes:
        raise BackboneError(
            f"{path} has {size:,} bytes, but at most {most_bytes:,} are possible in such a file of"
            " a known backbone. Give the published file."
        )
    return content


def _tensors(table: memoryview, store: memoryview) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    bytes_left = len(store)
    for number, (key, value) in enumerate(_entries(table)):
        if number > MAX_TENSORS:
            raise ValueError(f"more than {MAX_TENSORS:,} tensors")
        if not key:
            _check_header(value)
            continue
        kind, shape, offset, size = _entry(value)
        if kind != _FLOAT:
            continue
        name = key.decode()
        if size != 4 * math.prod(shape) or offset + size > len(store):
            raise ValueError(
                f"its tensor {name!r} of shape {shape} cannot be the {size} bytes at {offset}"
            )
        bytes_left -= size
        if bytes_left < 0:
            raise ValueError("its tensors have more bytes than the data file")
        values = np.frombuffer(store[offset : offset + size], "<f4").reshape(shape)
        if not np.isfinite(values).all():
            raise ValueError(f"its tensor {name!r} has NaN or infinity")
        tensors[name] = values
    return tensors


def _check_header(header: memoryview) -> None:
    """Raise ValueError for several data files or big-endian numbers (BundleHeaderProto)."""
    facts = {number: value for number, value in fields(header) if number in (1, 2)}
    if facts.get(1, 0) != 1 or facts.get(2, 0) != 0:
        raise ValueError("its tensors are in several files or big-endian")


def _entry(entry: memoryview) -> tuple[int, list[int], int, int]:
    """Return type, shape, offset and size of a tensor (BundleEntryProto)."""
    facts = {1: 0, 3: 0, 4: 0, 5: 0}
    shape: list[int] = []
    for number, value in fields(entry):
        if number in facts:
            facts[number] = integer(value)
        elif number == 2:
            shape = _shape(message(value))
        elif number == 7:
            raise ValueError("a tensor in slices")
    if facts[3] != 0:
        raise ValueError("a tensor in another file")
    return facts[1], shape, facts[4], facts[5]


def _shape(proto: memoryview) -> list[int]:
    """Return the lengths of a tensor's axes (TensorShapeProto)."""
    shape = []
    for number, value in fields(proto):
        if number == 2:
            lengths = [integer(v) for n, v in fields(message(value)) if n == 1]
            shape.append(lengths[-1] if lengths else 0)
        if len(shape) > MAX_AXES:
            raise ValueError(f"a tensor of more than {MAX_AXES} axes")
    return shape


def _entries(table: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield key and value of every entry of a LevelDB table."""
    footer = table[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or footer[-8:] != _MAGIC:
        raise ValueError("it does not end like a LevelDB table")
    at = 0
    for _ in range(2):  # skip offset and size of a block of statistics
        _, at = varint(footer, at)
    for _, handle in _block(table, *_handle(footer[at:])):
        yield from _block(table, *_handle(handle))


def _handle(handle: memoryview) -> tuple[int, int]:
    """Return offset and size of a block."""
    offset, at = varint(handle, 0)
    return offset, varint(handle, at)[0]


def _block(table: memoryview, offset: int, size: int) -> Iterator[tuple[bytes, memoryview]]:
    """Yield key and value of each entry of a block; a key omits what it shares with the last."""
    if offset + size >= len(table):
        raise ValueError("a block lies beyond its end")
    if table[offset + size]:
        raise ValueError("a block is compressed")
    block = table[offset : offset + size]
    restarts = int.from_bytes(block[-4:], "little")
    end = size - 4 - 4 * restarts
    if size < 4 or end < 0:
        raise ValueError("a block is shorter than its own list")
    block, at, key = block[:end], 0, b""
    while at < end:
        shared, at = varint(block, at)
        own, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or own + length > end - at or shared + own > MAX_NAME_BYTES:
            raise ValueError("an entry is longer than its block")
        key = key[:shared] + bytes(block[at : at + own])
        at += own
        yield key, block[at : at + length]
        at += length
