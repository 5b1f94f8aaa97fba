"""What a classifier was trained on: keyed hashes of clips, their sounds and recordings."""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from earmark.data.clip import Clip

KEY_BYTES, HASH_BYTES = 16, 8
CLIP, RECORDING = "clip", "recording"
DIRECTIONS = 8  # in which a sound is measured; other sounds lie 20 cells away in each
CELL = 0.004  # of features of length 1; copies in another format differ by 0.00003
EDGE = 0.1  # of a cell: a sound so near its edge may lie in the next as well


@dataclass(frozen=True)
class KnownClips:
    """Hashes of what was trained on, 8 bytes each, by which it is recognised under any name.

    A clip is known by the content of its file and the stretch, or by its sound: the features that
    the head reads, rounded, so that a lossless copy in another format is known too. A recording is
    known by the content of its file. The ``key`` (16 bytes) is of one classifier: another has other
    hashes of the same clips.
    """

    key: bytes
    hashes: frozenset[bytes]

    @classmethod
    def of(cls, clips: Iterable[tuple[Clip, bytes, np.ndarray]], key: bytes) -> KnownClips:
        """Return those of clips, the hashes of their recordings, and their features (D,)."""
        empty = cls(key, frozenset())
        hashes: set[bytes] = set()
        for clip, content, features in clips:
            hashes.update((empty._of_clip(clip, content), empty._of_recording(content)))
            hashes.add(empty._of_sound(np.floor(_measure(key, features))))
        return cls(key, frozenset(hashes))

    def kind_of(self, clip: Clip, content: bytes, features: np.ndarray) -> str | None:
        """Return 'clip' where it was trained on, 'recording' where another stretch was."""
        if self._of_clip(clip, content) in self.hashes or self._has_sound(features):
            return CLIP
        return RECORDING if self._of_recording(content) in self.hashes else None

    def to_json(self) -> dict[str, str]:
        """Return what the classifier's file keeps."""
        joined = b"".join(sorted(self.hashes))
        return {"key": self.key.hex(), "hashes": base64.b64encode(joined).decode()}

    @classmethod
    def from_json(cls, saved: Any) -> KnownClips:
        """Return what :meth:`to_json` wrote; ValueError where it is anything else."""
        try:
            joined = base64.b64decode(saved["hashes"], validate=True)
            starts = range(0, len(joined), HASH_BYTES)
            hashes = frozenset(joined[start : start + HASH_BYTES] for start in starts)
            known = cls(bytes.fromhex(saved["key"]), hashes)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"its hashes of known clips cannot be read: {error}") from error
        if len(joined) % HASH_BYTES or len(known.key) != KEY_BYTES or known.to_json() != saved:
            raise ValueError(
                f"its hashes of known clips are not sorted, of {HASH_BYTES} bytes each"
            )
        return known

    def _has_sound(self, features: np.ndarray) -> bool:
        """Say whether the sound lies in a known cell, or within EDGE of one."""
        places = _measure(self.key, features)
        ends = zip(np.floor(places - EDGE), np.floor(places + EDGE), strict=True)
        cells = itertools.product(*({low, high} for low, high in ends))
        return any(self._of_sound(np.array(cell)) in self.hashes for cell in cells)

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
    """Return where features (D,) lie in directions (8,) that depend on the key, in cells."""
    length = max(float(np.linalg.norm(features)), 1e-12)
    return np.asarray(_directions(key, len(features)) @ (features / length) / CELL)


@functools.lru_cache(maxsize=4)
def _directions(key: bytes, size: int) -> np.ndarray:
    rng = np.random.default_rng(int.from_bytes(key, "little"))
    return rng.standard_normal((DIRECTIONS, size))
