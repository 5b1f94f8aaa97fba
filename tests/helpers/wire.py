"""Protocol Buffers messages and LevelDB tables, written by hand: to read, and to lie in."""

import struct
from collections.abc import Mapping

import numpy as np


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def onnx(tensors: Mapping[str, np.ndarray]) -> bytes:
    """An ONNX model with these float32 constants and no nodes."""
    graph = b""
    for name, values in tensors.items():
        shape = b"".join(field(1, length) for length in values.shape)
        raw = values.astype("<f4").tobytes()
        graph += field(5, shape + field(2, 1) + field(8, name.encode()) + field(9, raw))
    return field(1, 7) + field(7, graph)


def entry(shape: tuple[int, ...], offset: int, size: int, kind: int = 1, shard: int = 0) -> bytes:
    """A tensor in the index of a bundle (BundleEntryProto)."""
    axes = b"".join(field(2, field(1, length)) for length in shape)
    where = field(3, shard) + field(4, offset) + field(5, size)
    return field(1, kind) + field(2, axes) + where + varint(6 << 3 | 5) + b"\0\0\0\0"


def header(shards: int = 1, endianness: int = 0) -> bytes:
    return field(1, shards) + field(2, endianness) + field(3, field(1, 1))


def block(entries: list[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    """A block of a LevelDB table, in which each key shares its beginning with the one before."""
    out, last = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(last)) and key[shared] == last[shared]:
            shared += 1
        rest = key[shared:]
        out += varint(shared) + varint(len(rest)) + varint(len(value)) + rest + value
        last = key
    return out + struct.pack("<II", 0, 1) + bytes([compression]) + b"\0\0\0\0"


def table(entries: list[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    """A LevelDB table of one block, as TensorFlow writes the index of a bundle."""

    def handle(at: int, content: bytes) -> bytes:
        return varint(at) + varint(len(content) - 5)

    first, statistics = block(entries, compression), block([])
    index = block([(b"zzz", handle(0, first))])
    footer = handle(len(first), statistics) + handle(len(first) + len(statistics), index)
    magic = bytes.fromhex("57fb808b247547db")
    return first + statistics + index + footer.ljust(40, b"\0") + magic


def bundle(tensors: Mapping[str, np.ndarray]) -> tuple[bytes, bytes]:
    """Index and data of a TensorFlow checkpoint with these tensors."""
    data, entries = b"", [(b"", header())]
    for name in sorted(tensors):
        raw = np.ascontiguousarray(tensors[name], "<f4").tobytes()
        entries.append((name.encode(), entry(tensors[name].shape, len(data), len(raw))))
        data += raw
    return table(entries), data
