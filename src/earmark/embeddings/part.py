"""A part: a run of clips that is computed separately, and the fingerprint that names it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from earmark.audio.options import DECODER_VERSION, AudioOptions
from earmark.backbones.base import Backbone
from earmark.backbones.layers import layers_of
from earmark.data.blocks import Block
from earmark.data.clip import Clip
from earmark.data.parts import EMBED
from earmark.embeddings import shares
from earmark.embeddings.pooling import halves_of
from earmark.system.jsons import json_text

FORMAT = 1  # of the file of a part: raise it when a column goes or changes its meaning
FINGERPRINT_DIGITS = 16  # hexadecimal digits in the name of a part's file


class Settings(Protocol):
    """What all parts of a folder share.

    ``to_json`` returns it for ``parts.json``, in types of JSON. ``kind`` is in it: the command that
    computes the parts.
    """

    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class PartSettings:
    """What all parts with embeddings share.

    Attributes
    ----------
    backbone : str
        The name of the backbone.
    fingerprint : str
        The backbone with its version, its weights and its precision.
    audio : AudioOptions
        How recordings are read.
    layers : tuple of (str, int, int)
        The layers that are written: name, and first and last column in an embedding.
    width : int
        Numbers in an embedding.
    """

    backbone: str
    fingerprint: str
    audio: AudioOptions
    layers: tuple[tuple[str, int, int], ...]
    width: int

    @classmethod
    def of(cls, backbone: Backbone, options: AudioOptions, layers: str = "all") -> PartSettings:
        """Return the settings for a backbone; ``layers`` is 'last', 'all' or 'NAME,NAME'."""
        info = backbone.info
        (names,) = layers_of([info], layers)
        halves = [(name, *halves_of(info, name)) for name in names]
        columns = tuple((name, mean.start, deviation.stop) for name, mean, deviation in halves)
        width = 2 * sum(layer.size for layer in info.layers)
        return cls(info.name, backbone.fingerprint, options, columns, width)

    def to_json(self) -> dict[str, Any]:
        """Return the object for ``parts.json``; equal settings give equal objects."""
        return {
            "format": FORMAT,
            "kind": EMBED,
            "backbone": self.backbone,
            "fingerprint": self.fingerprint,
            "audio": asdict(self.audio),
            "decoder": DECODER_VERSION,
            "part_clips": shares.PART_CLIPS,
            "layers": {name: end - first for name, first, end in self.layers},
        }


@dataclass(frozen=True)
class Part:
    """A run of clips.

    ``number`` counts from 0. ``fingerprint`` is a hash of the settings and of all rows: the paths
    relative to the folder of the manifest, the stretches, the labels, groups, folds and splits.
    """

    number: int
    clips: tuple[Clip, ...]
    fingerprint: str

    @property
    def stem(self) -> str:
        """The beginning of the name of its file; what the machine computes with follows."""
        return f"part-{self.number:06d}-{self.fingerprint}"


def divide(blocks: Iterable[Block], settings: Settings, folder: Path) -> Iterator[Part]:
    """Yield a part for each block of clips; ``folder`` is the one that their paths start from."""
    about = settings.to_json()
    for number, clips in blocks:
        rows = [
            [relative_place(c, folder), c.start, c.end, c.label, c.group, c.fold, c.split]
            for c in clips
        ]
        text = json_text([about, number, rows], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        yield Part(number, tuple(clips), digest[:FINGERPRINT_DIGITS])


def relative_place(clip: Clip, folder: Path) -> str:
    """Return the path of a recording below ``folder`` relative to it, any other place unchanged."""
    inside = f"{folder}{os.sep}"
    if not clip.place.startswith(inside):
        return clip.place
    return clip.place.removeprefix(inside).replace(os.sep, "/")
