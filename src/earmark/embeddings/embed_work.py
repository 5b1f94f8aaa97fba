"""Parts with embeddings: one column for each layer."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark.audio.options import AudioOptions
from earmark.backbones.base import Backbone
from earmark.backbones.registry import load_backbone
from earmark.embeddings.hashes import CONTENT_BYTES, KEY_BYTES
from earmark.embeddings.part import Part, PartSettings, relative_place
from earmark.embeddings.part_files import PREFIX
from earmark.embeddings.part_work import by_part, machine_of
from earmark.embeddings.pipeline import embed_stream
from earmark.embeddings.stages import Embedded, Failure, Result
from earmark.system import extras
from earmark.system.progress import Progress
from earmark.system.text import to_utf8

LABELS = ("label", "group", "fold", "split")  # columns that come from the manifest


@dataclass(frozen=True)
class EmbedWork:
    """Embeds clips; see :class:`~earmark.embeddings.part_work.PartWork`.

    ``root`` is the folder that paths of recordings start from.
    """

    settings: PartSettings
    backbone: Backbone
    root: Path

    @classmethod
    def load(cls, how: Mapping[str, Any], root: Path) -> EmbedWork:
        """Load the backbone.

        ``how`` has the arguments in types of JSON: ``backbone``, ``engine``, ``layers``, ``audio``.
        """
        backbone = load_backbone(how["backbone"], **how["engine"])
        settings = PartSettings.of(backbone, AudioOptions(**how["audio"]), how["layers"])
        return cls(settings, backbone, root)

    def machine(self) -> str:
        return machine_of(self.backbone)

    def compute(
        self, parts: Iterable[Part], threads: int | None = None, progress: Progress | None = None
    ) -> Iterator[tuple[Part, Sequence[Result]]]:
        embed = functools.partial(
            embed_stream,
            backbone=self.backbone,
            options=self.settings.audio,
            threads=threads,
            progress=progress,
        )
        return by_part(parts, embed)

    def table(self, results: Sequence[Result]) -> Any:
        pa = extras.load("pyarrow", "parquet", "writing parts")
        clips = [result.clip for result in results]
        done = [result if isinstance(result, Embedded) else None for result in results]
        texts = {
            "path": [to_utf8(relative_place(clip, self.root)) for clip in clips],
            **{name: [to_utf8(getattr(clip, name)) for clip in clips] for name in LABELS},
            "warning": ["\n".join(e.warnings) or None if e else None for e in done],
            "error": [r.reason if isinstance(r, Failure) else None for r in results],
        }
        columns = {
            "key": pa.array([result.key or None for result in results], pa.binary(KEY_BYTES)),
            "path": pa.array(texts.pop("path"), pa.string()),
            "version": pa.array([e.content if e else None for e in done], pa.binary(CONTENT_BYTES)),
            "start": pa.array([clip.start for clip in clips], pa.float64()),
            "end": pa.array([clip.end for clip in clips], pa.float64()),
            "seconds": pa.array([e.seconds if e else None for e in done], pa.float64()),
            **{name: pa.array(column, pa.string()) for name, column in texts.items()},
        }
        return pa.table(columns | self._layers(done))

    def _layers(self, done: Sequence[Embedded | None]) -> dict[str, Any]:
        """Return the columns of layers, null where a recording could not be read."""
        pa = extras.load("pyarrow", "parquet", "writing parts")
        is_wide = any(e is not None and e.vector.dtype == np.float32 for e in done)
        matrix = np.zeros((len(done), self.settings.width), np.float32 if is_wide else np.float16)
        for row, embedded in enumerate(done):
            if embedded is not None:
                matrix[row] = embedded.vector
        is_missing = pa.array([e is None for e in done])
        columns = {}
        for name, first, end in self.settings.layers:
            values = pa.array(np.ascontiguousarray(matrix[:, first:end]).ravel())
            columns[PREFIX + name] = pa.FixedSizeListArray.from_arrays(
                values, end - first, mask=is_missing
            )
        return columns
