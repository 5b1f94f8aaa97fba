"""Files with the scores of every window: CSV, NumPy or Parquet; one block is in memory at a time.

Each row has the path of the recording, the centre of the window in seconds, the score of each class
and the known-score.
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark.errors import EarmarkError
from earmark.system import extras
from earmark.system.files import relative_path, whole_file
from earmark.system.objects import is_uri
from earmark.system.text import to_csv, to_utf8

BLOCK_ROWS = 65_536
SUFFIXES = (".csv", ".npz", ".parquet")


@dataclass(frozen=True)
class ScoredStretch:
    """The scores (n, K + 1) of a recording, or of a stretch of it; the last is the known-score.

    The window i has its centre at ``first_s + i * hop_s``.
    """

    path: str
    first_s: float
    hop_s: float
    rows: np.ndarray

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the times (n,) and the scores (n, K + 1) of some windows at a time."""
        for start in range(0, len(self.rows), BLOCK_ROWS):
            rows = self.rows[start : start + BLOCK_ROWS]
            times = self.first_s + self.hop_s * np.arange(start, start + len(rows))
            yield np.round(times, 6), rows


Stretches = Iterable[ScoredStretch]  # may be iterated several times


def check_scores(path: Path) -> None:
    """Raise EarmarkError for a suffix that is not known, and if a package is missing."""
    if path.suffix.lower() not in SUFFIXES:
        raise EarmarkError(
            f"--scores {path} has the suffix {path.suffix!r}. Give a file that ends in"
            f" {', '.join(SUFFIXES)}."
        )
    if path.suffix.lower() == ".parquet":
        extras.load("pyarrow", "parquet", "writing Parquet")


def write_scores(path: Path, labels: Sequence[str], stretches: Stretches) -> None:
    """Write the scores of all windows, whole or not at all; the suffix of ``path`` is the format.

    Paths of recordings are relative to the folder of the file.
    """
    writers = dict(zip(SUFFIXES, (_write_csv, _write_npz, _write_parquet), strict=True))
    write: Callable[..., None] = writers[path.suffix.lower()]
    try:
        with whole_file(path) as part:
            write(part, path.absolute().parent, labels, stretches)
    except OSError as error:
        raise EarmarkError(
            f"cannot write {path}: {error.strerror}. Free some space, or name another place."
        ) from error


def _columns(labels: Sequence[str]) -> list[str]:
    return ["path", "time", *(f"score_{label}" for label in labels), "known_score"]


def _write_csv(part: Path, folder: Path, labels: Sequence[str], stretches: Stretches) -> None:
    numbers = "%.3f" + ",%.6f" * (len(labels) + 1) + "\n"
    with part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(to_csv([_columns(labels)]))
        for stretch in stretches:
            path = to_csv([[_relative(stretch, folder)]]).rstrip("\n").replace("%", "%%")
            line = f"{path},{numbers}"
            for times, rows in stretch.blocks():
                cells = zip(times.tolist(), rows.tolist(), strict=True)
                file.writelines(line % (time, *scores) for time, scores in cells)


def _write_npz(part: Path, folder: Path, labels: Sequence[str], stretches: Stretches) -> None:
    """Write the arrays paths (R,), path (n,), time (n,), labels (K,), scores (n, K), known (n,).

    ``path`` is the index of the recording in ``paths``.
    """
    names = list(dict.fromkeys(_relative(stretch, folder) for stretch in stretches))
    places = {name: place for place, name in enumerate(names)}
    n = sum(len(stretch.rows) for stretch in stretches)

    def paths() -> Iterator[np.ndarray]:
        for stretch in stretches:
            yield np.full(len(stretch.rows), places[_relative(stretch, folder)], "<i4")

    def of_blocks(take: Callable[[Any], np.ndarray]) -> Iterator[np.ndarray]:
        return map(take, itertools.chain.from_iterable(s.blocks() for s in stretches))

    texts = [np.array([to_utf8(text) for text in texts] or [""])[: len(texts)]
             for texts in (names, labels)]  # fmt: skip
    with zipfile.ZipFile(part, "w") as archive:
        _add(archive, "paths", texts[0].dtype, texts[0].shape, [texts[0]])
        _add(archive, "labels", texts[1].dtype, texts[1].shape, [texts[1]])
        _add(archive, "path", np.dtype("<i4"), (n,), paths())
        _add(archive, "time", np.dtype("<f8"), (n,), of_blocks(lambda block: block[0]))
        shape = (n, len(labels))
        _add(archive, "scores", np.dtype("<f4"), shape, of_blocks(lambda b: b[1][:, :-1]))
        _add(archive, "known", np.dtype("<f4"), (n,), of_blocks(lambda b: b[1][:, -1]))


def _add(
    archive: zipfile.ZipFile,
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    blocks: Iterable[np.ndarray],
) -> None:
    """Add an array that comes in blocks. Its time in the archive is always 1980."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block).tobytes())


def _write_parquet(part: Path, folder: Path, labels: Sequence[str], stretches: Stretches) -> None:
    pyarrow = extras.load("pyarrow", "parquet", "writing Parquet")
    pq = extras.load("pyarrow.parquet", "parquet", "writing Parquet")
    names = [str(to_utf8(name)) for name in _columns(labels)]
    kinds = [pyarrow.string(), pyarrow.float64(), *[pyarrow.float32()] * (len(labels) + 1)]
    schema = pyarrow.schema(list(zip(names, kinds, strict=True)))
    with pq.ParquetWriter(part, schema) as out:
        for stretch in stretches:
            path = to_utf8(_relative(stretch, folder))
            for times, rows in stretch.blocks():
                columns = [[path] * len(rows), times, *np.ascontiguousarray(rows.T)]
                arrays = [pyarrow.array(c, kind) for c, kind in zip(columns, kinds, strict=True)]
                out.write_table(pyarrow.table(arrays, schema=schema))


def _relative(stretch: ScoredStretch, folder: Path) -> str:
    is_remote = is_uri(stretch.path)
    return stretch.path if is_remote else relative_path(Path(stretch.path).absolute(), folder)
