"""A part: a run of clips that is computed separately, and the fingerprint that names it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from earmark.audio.options import DECODER_VERSION, AudioOptions
from earmark.backbones.base import Backbone
from earmark.backbones.layers import layers_of
from earmark.data.clip import Clip
from earmark.embeddings import pipeline
from earmark.embeddings.pooling import halves_of
from earmark.embeddings.share import ALL, Share
from earmark.system.files import relative_path
from earmark.system.jsons import json_text

FORMAT = 1  # of the file of a part: raise it when a column goes or changes its meaning
FINGERPRINT_DIGITS = 16  # hexadecimal, in the name of a file


@dataclass(frozen=True)
class PartSettings:
    """What all parts of a folder share.

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
            "backbone": self.backbone,
            "fingerprint": self.fingerprint,
            "audio": asdict(self.audio),
            "decoder": DECODER_VERSION,
            "part_clips": pipeline.PART_CLIPS,
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


def divide(
    clips: Iterable[Clip], settings: PartSettings, folder: Path, share: Share = ALL
) -> Iterator[Part]:
    """Yield the parts of a share; ``folder`` is the one that the paths of clips start from."""
    clips, about = iter(clips), json_text(settings.to_json(), sort_keys=True)
    for number in itertools.count():
        rows = tuple(itertools.islice(clips, pipeline.PART_CLIPS))
        if not rows:
            return
        if number in share:
            digest = hashlib.sha256(f"{about}\n{number}\n".encode())
            for clip in rows:
                row = [place_of(clip.path, folder), clip.start, clip.end, clip.label]
                digest.update(f"{json_text([*row, clip.group, clip.fold, clip.split])}\n".encode())
            yield Part(number, rows, digest.hexdigest()[:FINGERPRINT_DIGITS])


def place_of(path: Path, folder: Path) -> str:
    """Return the path of a recording below ``folder`` relative to it, any other path absolute."""
    relative = relative_path(path, folder)
    return str(path) if relative.startswith("../") or relative == ".." else relative
