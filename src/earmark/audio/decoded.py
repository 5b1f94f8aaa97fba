"""A recording that another process has decoded: what its decoder gave, to be read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from earmark.audio.decoder import Block, Header


@dataclass(frozen=True, eq=False)
class DecodedSource:
    """A whole recording as its decoder gave it; see :func:`earmark.audio.reading.decode_ahead`.

    Attributes
    ----------
    header : Header
    blocks : tuple of Block
        The samples (n, channels) float32 of the recording, in order.
    damage : str or None
        Why the decoder stopped before the end.
    texts : tuple of str
        What the decoder printed.
    version : bytes
        The hash of the recording's file.
    decoder : int
        The version of the decoder for the store's key.
    name : str
        The name of the recording in errors.
    """

    header: Header
    blocks: tuple[Block, ...] = field(repr=False)
    damage: str | None
    texts: tuple[str, ...]
    version: bytes
    decoder: int
    name: str = "<bytes>"

    @property
    def size(self) -> int:
        return sum(block.samples.nbytes for block in self.blocks)

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return sum(len(block.samples) for block in self.blocks) / max(1, self.header.rate_hz)

    def replay(self) -> Iterator[Block]:
        """Yield the blocks of the decoder; then raise the error that it raised, if any."""
        yield from self.blocks
        if self.damage is not None:
            raise ValueError(self.damage)

    def pack(self) -> tuple[dict[str, object], bytes]:
        """Return the recording as a value of JSON and the bytes of its samples."""
        sizes = [[block.position, len(block.samples)] for block in self.blocks]
        value: dict[str, object] = {
            "header": list(self.header),
            "blocks": sizes,
            "damage": self.damage,
            "texts": list(self.texts),
            "version": self.version.hex(),
            "decoder": self.decoder,
            "name": self.name,
        }
        samples = [np.ascontiguousarray(block.samples, np.float32) for block in self.blocks]
        return value, b"".join(part.tobytes() for part in samples)

    @classmethod
    def unpack(cls, text: str | bytes, samples: bytes | memoryview) -> DecodedSource:
        """Return the recording that :meth:`pack` wrote, its value as the ``text`` of JSON.

        Raises ValueError, KeyError or TypeError if the two do not belong together.
        """
        value = json.loads(text)
        header = Header(*value["header"])
        rows = np.frombuffer(samples, np.float32).reshape(-1, header.channels)
        blocks, at = [], 0
        for position, length in value["blocks"]:
            blocks.append(Block(position, rows[at : at + length]))
            at += length
        if at != len(rows):
            raise ValueError(f"{len(rows)} frames instead of {at}")
        return cls(
            header,
            tuple(blocks),
            value["damage"],
            tuple(value["texts"]),
            bytes.fromhex(value["version"]),
            value["decoder"],
            value["name"],
        )
