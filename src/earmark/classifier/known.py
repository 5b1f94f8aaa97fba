"""Keyed hashes of the training clips: of clips, of their sounds and of their recordings."""

from __future__ import annotations

import base64
import bisect
import functools
import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from earmark.data.clip import Clip

KEY_BYTES, HASH_BYTES = 16, 8
NUMBER = np.dtype(">u8")  # a hash as a number, which sorts in the same order as its bytes
CLIP, RECORDING = "clip", "recording"
DIRECTIONS = 8  # on which features are projected; other sounds are 20 cells away on each
CELL = 0.004  # for features of length 1; copies in another format differ by 0.00003
BLOCK = 256  # clips whose features are in memory at a time
EDGE = 0.1  # of a cell: a copy of a sound so near an edge may lie in the next cell


@dataclass(frozen=True)
class KnownClips:
    """Hashes of the training clips, 8 bytes each, to recognise them under any name.

    A clip is recognised by the content of its file and its stretch, or by its sound. The sound is
    the head's features, rounded, so a lossless copy in another format is recognised too. A
    recording is recognised by the content of its file. Each classifier has its own ``key`` (16
    bytes), so two classifiers have different hashes of the same clips. ``joined`` is the sorted
    hashes, concatenated.
    """

    key: bytes
    joined: bytes

    def __len__(self) -> int:
        return len(self.joined) // HASH_BYTES

    def __repr__(self) -> str:
        return f"KnownClips({len(self):,} hashes)"

    @property
    def hashes(self) -> frozenset[bytes]:
        """All hashes as a set, which takes much memory for many clips."""
        return frozenset(map(self._at, range(len(self))))

    @classmethod
    def of(cls, clips: Iterable[tuple[Clip, bytes, np.ndarray]], key: bytes) -> KnownClips:
        """Return the hashes for triples of clip, hash of its recording, and features (D,)."""
        empty, joined, rest = cls(key, b""), bytearray(), iter(clips)
        while block := list(itertools.islice(rest, BLOCK)):
            sounds = _measure(key, np.stack([features for _, _, features in block]))
            for (clip, content, _), cell in zip(block, np.floor(sounds), strict=True):
                joined += empty._of_clip(clip, content) + empty._of_recording(content)
                joined += empty._of_sound(cell)
        numbers = np.sort(np.frombuffer(joined, NUMBER).astype(np.uint64))
        is_new = np.ones(len(numbers), bool)
        is_new[1:] = numbers[1:] != numbers[:-1]
        return cls(key, numbers[is_new].astype(NUMBER).tobytes())

    def kind_of(self, clip: Clip, content: bytes, features: np.ndarray) -> str | None:
        """Return 'clip' for a training clip, 'recording' for another stretch of its recording."""
        if self._has(self._of_clip(clip, content)) or self._has_sound(features):
            return CLIP
        return RECORDING if self._has(self._of_recording(content)) else None

    def to_json(self) -> dict[str, str]:
        """Return the JSON for the classifier's file."""
        return {"key": self.key.hex(), "hashes": base64.b64encode(self.joined).decode()}

    @classmethod
    def from_json(cls, saved: Any) -> KnownClips:
        """Return the hashes that :meth:`to_json` wrote; ValueError for anything else."""
        try:
            known = cls(
                bytes.fromhex(saved["key"]), base64.b64decode(saved["hashes"], validate=True)
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"its hashes of training clips cannot be read: {error}") from error
        is_whole = len(known.joined) % HASH_BYTES == 0 and len(known.key) == KEY_BYTES
        numbers = np.frombuffer(known.joined if is_whole else b"", NUMBER)
        if not is_whole or (numbers[1:] <= numbers[:-1]).any() or known.to_json() != saved:
            raise ValueError(
                f"its hashes of training clips are not sorted, or not of {HASH_BYTES} bytes each"
            )
        return known

    def _has(self, hash_: bytes) -> bool:
        place = bisect.bisect_left(range(len(self)), hash_, key=self._at)
        return self._at(place) == hash_

    def _at(self, place: int) -> bytes:
        return self.joined[place * HASH_BYTES : (place + 1) * HASH_BYTES]

    def _has_sound(self, features: np.ndarray) -> bool:
        """Say whether the sound lies in a known cell, or within EDGE of one."""
        (places,) = _measure(self.key, features[None])
        ends = zip(np.floor(places - EDGE), np.floor(places + EDGE), strict=True)
        cells = itertools.product(*({low, high} for low, high in ends))
        return any(self._has(self._of_sound(np.array(cell))) for cell in cells)

    def _of_clip(self, clip: Clip, content: bytes) -> bytes:
        end = "" if clip.end is None else float(clip.end)
        return self._hash(f"clip {float(clip.start or 0)} {end} ".encode() + content)

    def _of_recording(self, content: bytes) -> bytes:
        return self._hash(b"recording " + content)

    def _of_sound(self, cell: np.ndarray) -> bytes:
        return self._hash(b"sound " + cell.astype("<i8").tobytes())

    def _hash(self, data: bytes) -> bytes:
        return hashlib.blake2b(data, digest_size=HASH_BYTES, key=self.key).digest()


def _measure(key: bytes, features: np.ndarray) -> np.ndarray:
    """Return the positions (N, 8), in cells, of features (N, D) on directions from the key."""
    length = np.sqrt(np.square(features, dtype=np.float64).sum(1, keepdims=True))
    unit = features / np.maximum(length, 1e-12).astype(features.dtype)
    return np.asarray(unit @ _directions(key, features.shape[1]).T / CELL)


@functools.lru_cache(maxsize=4)
def _directions(key: bytes, size: int) -> np.ndarray:
    rng = np.random.default_rng(int.from_bytes(key, "little"))
    return rng.standard_normal((DIRECTIONS, size))
