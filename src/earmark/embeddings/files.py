"""Embeddings for use elsewhere: NumPy archives and Parquet tables."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earmark.backbones.layers import layers_of
from earmark.errors import EarmarkError
from earmark.system import extras
from earmark.system.files import write_whole

if TYPE_CHECKING:
    from earmark.embeddings.embedding import Embeddings

FORMATS = (".npz", ".parquet")


def check_format(path: Path) -> None:
    """Refuse a file name whose suffix is of no known format."""
    if path.suffix not in FORMATS:
        raise EarmarkError(
            f"cannot write embeddings as {path.suffix or 'a file without a suffix'!r}; name a file"
            f" that ends in {' or '.join(FORMATS)}."
        )


def write_embeddings(path: Path, embeddings: Embeddings, layers: str) -> None:
    """Write one array, or column of lists, a layer: means, then deviations, float32 (N, 2 * D).

    Beside them stand ``path`` (absolute), ``label``, ``start`` and ``end`` (seconds, NaN where the
    clip is the whole recording) of each clip. Both formats have checksums: NumPy checks those of
    .npz, Parquet's are checked with ``page_checksum_verification=True``. ``layers`` is 'last',
    'all' or 'NAME,NAME'.
    """
    check_format(path)
    (names,) = layers_of([embeddings.info], layers)
    clips = embeddings.clips
    columns: dict[str, np.ndarray] = {
        "path": np.array([str(clip.path.resolve()) for clip in clips]),
        "label": np.array([clip.label or "" for clip in clips]),
        "start": np.array([clip.start for clip in clips], float),
        "end": np.array([clip.end for clip in clips], float),
        **{name: embeddings.features([name]) for name in names},
    }
    buffer = io.BytesIO()
    if path.suffix == ".npz":
        np.savez(buffer, **columns)  # type: ignore[arg-type]
    else:
        _parquet(buffer, columns)
    write_whole(path, buffer.getvalue())


def _parquet(buffer: io.BytesIO, columns: dict[str, np.ndarray]) -> None:
    pa = extras.load("pyarrow", "parquet", "writing Parquet")
    pq = extras.load("pyarrow.parquet", "parquet", "writing Parquet")
    table = {name: list(v) if v.ndim > 1 else v for name, v in columns.items()}
    pq.write_table(pa.table(table), buffer, write_page_checksum=True)
