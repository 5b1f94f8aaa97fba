"""What a classifier was trained on: keyed hashes of clips and recordings, 8 bytes each."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from earmark.data.clip import Clip

KEY_BYTES, HASH_BYTES = 16, 8
CLIP, RECORDING = "clip", "recording"


@dataclass(frozen=True)
class KnownClips:
    """Hashes of what was trained on, by which it is recognised, whatever its file is called.

    A clip is the content of its recording and a stretch of it. The ``key`` (16 bytes) is of one
    classifier, so that equal clips have other hashes in another.
    """

    key: bytes
    hashes: frozenset[bytes]

    @classmethod
    def of(cls, clips: Iterable[tuple[Clip, bytes]], key: bytes) -> KnownClips:
        """Return those of clips and the contents of their recordings (hashes)."""
        empty = cls(key, frozenset())
        pairs = [
            empty._hash(kind, clip, content)
            for clip, content in clips
            for kind in (CLIP, RECORDING)
        ]
        return cls(key, frozenset(pairs))

    def kind_of(self, clip: Clip, content: bytes) -> str | None:
        """Return 'clip' where that was trained on, 'recording' where another stretch was."""
        kinds = (k for k in (CLIP, RECORDING) if self._hash(k, clip, content) in self.hashes)
        return next(kinds, None)

    def to_json(self) -> dict[str, str]:
        """Return what the classifier's file keeps."""
        joined = b"".join(sorted(self.hashes))
        return {"key": self.key.hex(), "hashes": base64.b64encode(joined).decode()}

    @classmethod
    def from_json(cls, saved: Any) -> KnownClips:
        """Return what :meth:`to_json` wrote; ValueError where it is anything else."""
        try:
            key = bytes.fromhex(saved["key"])
            joined = base64.b64decode(saved["hashes"], validate=True)
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise ValueError(f"the hashes of known clips cannot be read: {error}") from error
        if len(key) != KEY_BYTES or len(joined) % HASH_BYTES:
            raise ValueError(f"the hashes of known clips are not {HASH_BYTES} bytes each")
        starts = range(0, len(joined), HASH_BYTES)
        return cls(key, frozenset(joined[start : start + HASH_BYTES] for start in starts))

    def _hash(self, kind: str, clip: Clip, content: bytes) -> bytes:
        end = "" if clip.end is None else float(clip.end)
        stretch = f"{float(clip.start or 0)} {end}" if kind == CLIP else ""
        text = f"{kind} {stretch} ".encode() + content
        return hashlib.blake2b(text, digest_size=HASH_BYTES, key=self.key).digest()
