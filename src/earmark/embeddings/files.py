"""Write embeddings for other programs: NumPy archives and Parquet tables."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earmark.backbones.layers import layers_of
from earmark.embeddings.rows import Matrix, blocks
from earmark.errors import EarmarkError
from earmark.system import extras
from earmark.system.files import whole_file
from earmark.system.text import to_utf8

if TYPE_CHECKING:
    from earmark.embeddings.embedding import Embeddings

FORMATS = (".npz", ".parquet")
ROWS = 512  # in memory at a time: 10 MB of ``speech-embedding``


def check_format(path: Path) -> None:
    """Raise EarmarkError for a file name whose suffix is not that of a known format."""
    if path.suffix not in FORMATS:
        raise EarmarkError(
            f"cannot write embeddings as {path.suffix or 'a file without a suffix'!r}. Name a file"
            f" that ends in {' or '.join(FORMATS)}."
        )


def write_embeddings(path: Path, embeddings: Embeddings, layers: str) -> None:
    """Write one array, or column of lists, per layer: means, then deviations, float32 (N, 2 * D).

    Further arrays or columns are ``path`` (absolute), ``label``, ``start`` and ``end`` (seconds,
    NaN if the clip is the whole recording) of each clip. ``layers`` is 'last', 'all' or
    'NAME,NAME'. Both formats have checksums: NumPy checks those of .npz, and
    ``page_checksum_verification=True`` checks those of Parquet. Parquet allows only UTF-8, so other
    bytes of a name are written there as '\\xe9'.
    """
    from earmark.embeddings.pooling import columns  # imports torch

    check_format(path)
    (names,) = layers_of([embeddings.info], layers)
    clips = embeddings.clips
    about: dict[str, np.ndarray] = {
        "path": np.array(
            [clip.place if clip.is_remote else str(clip.path.resolve()) for clip in clips]
        ),
        "label": np.array([clip.label or "" for clip in clips]),
        "start": np.array([clip.start for clip in clips], float),
        "end": np.array([clip.end for clip in clips], float),
    }
    places = {name: columns(embeddings.info, [name]) for name in names}
    write = _npz if path.suffix == ".npz" else _parquet
    try:
        with whole_file(path) as part:
            write(part, about, places, embeddings.matrix)
    except OSError as error:
        raise EarmarkError(
            f"cannot write {path}: {error.strerror}. Free some space, or name another place."
        ) from error


def _npz(
    part: Path, about: dict[str, np.ndarray], places: dict[str, np.ndarray], matrix: Matrix
) -> None:
    """Write the file that ``np.savez`` would write, block by block."""
    count = len(about["path"])
    with zipfile.ZipFile(part, "w") as archive:
        for name, column in about.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, column, allow_pickle=False)
        for name, place in places.items():
            header = {"descr": "<f4", "fortran_order": False, "shape": (count, len(place))}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                for rows in blocks(matrix, ROWS):
                    member.write(rows[:, place].astype("<f4").tobytes())


def _parquet(
    part: Path, about: dict[str, np.ndarray], places: dict[str, np.ndarray], matrix: Matrix
) -> None:
    pa = extras.load("pyarrow", "parquet", "writing Parquet")
    pq = extras.load("pyarrow.parquet", "parquet", "writing Parquet")
    kinds = {"path": pa.string(), "label": pa.string(), "start": pa.float64(), "end": pa.float64()}
    schema = pa.schema({**kinds, **dict.fromkeys(places, pa.list_(pa.float32()))})
    first = 0
    with pq.ParquetWriter(part, schema, write_page_checksum=True) as writer:
        for rows in blocks(matrix, ROWS):
            last = first + len(rows)
            table = {name: pa.array(about[name][first:last]) for name in ("start", "end")}
            for name in ("path", "label"):
                table[name] = pa.array([to_utf8(text) for text in about[name][first:last].tolist()])
            for name, place in places.items():
                table[name] = pa.array(list(rows[:, place].astype(np.float32)))
            writer.write_table(pa.table(table, schema))
            first = last
