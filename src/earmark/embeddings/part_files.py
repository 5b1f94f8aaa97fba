"""The Parquet file of a part: written whole, and checked before it is used."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from earmark.data.parts import PartSummary
from earmark.embeddings.hashes import CONTENT_BYTES, KEY_BYTES
from earmark.embeddings.part import FINGERPRINT_DIGITS, Part, PartSettings, relative_place
from earmark.embeddings.stages import Embedded, Failure, Result
from earmark.errors import EarmarkError, amount, first_line
from earmark.system import extras
from earmark.system.files import file_sha256, not_a_file, whole_file
from earmark.system.jsons import json_text, strict_json
from earmark.system.text import to_utf8

PREFIX = "layer_"  # of the columns of layers: a layer could have the name of another column
MAX_PART_BYTES = 1 << 32  # a part of the widest network has some hundred megabytes
MAX_ABOUT_BYTES = 1 << 20  # of the text about a part in its file
LABELS = ("label", "group", "fold", "split")  # columns that come from the manifest


class PartError(EarmarkError):
    """The file of a part that is cut, damaged or of something else; it can be computed again."""


def write_part(
    path: Path,
    part: Part,
    results: Sequence[Result],
    settings: PartSettings,
    machine: str,
    folder: Path,
) -> PartSummary:
    """Write the results of all clips of a part, one row each; return the part's summary.

    Paths are relative to ``folder`` if they are below it. Raises EarmarkError if the file cannot
    be written.
    """
    about = {"part": part.number, "fingerprint": part.fingerprint, "machine": machine}
    table = table_of(results, settings, folder, about | {"settings": settings.to_json()})
    try:
        with whole_file(path) as unfinished:
            _write(table, unfinished)
            sha256, size = file_sha256(unfinished).hex(), unfinished.stat().st_size
    except OSError as error:
        raise EarmarkError(
            f"cannot write {path}: {error.strerror}. Free some space, or name another place."
        ) from error
    embedded = [result for result in results if isinstance(result, Embedded)]
    return PartSummary(
        part.number,
        path.name,
        sha256,
        size,
        len(results),
        len(results) - len(embedded),
        sum(bool(result.warnings) for result in embedded),
        float(sum(result.seconds for result in embedded)),
        machine,
    )


def bytes_of(results: Sequence[Result], settings: PartSettings, folder: Path) -> int:
    """Return the size of the file of a part with these results, without writing it."""
    about = {"part": 0, "fingerprint": "0" * FINGERPRINT_DIGITS, "machine": ""}
    content = io.BytesIO()
    _write(table_of(results, settings, folder, about | {"settings": settings.to_json()}), content)
    return content.getbuffer().nbytes


def _write(table: Any, to: Path | BinaryIO) -> None:
    """Write a part. Text is compressed; numbers, which are like noise, are not."""
    pq = extras.load("pyarrow.parquet", "parquet", "writing parts")
    text = [name for name in table.schema.names if not name.startswith(PREFIX)]
    pq.write_table(
        table,
        to,
        row_group_size=table.num_rows,
        compression={name: "zstd" if name in text else "none" for name in table.schema.names},
        use_dictionary=["label", "group", "fold", "split"],
        write_statistics=text,
        write_page_checksum=True,
    )


def table_of(
    results: Sequence[Result], settings: PartSettings, folder: Path, about: dict[str, Any]
) -> Any:
    """Return the rows as a table of pyarrow, with ``about`` in its metadata."""
    pa = extras.load("pyarrow", "parquet", "writing parts")
    clips = [result.clip for result in results]
    done = [result if isinstance(result, Embedded) else None for result in results]
    texts = {
        "path": [to_utf8(relative_place(clip, folder)) for clip in clips],
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
    is_wide = any(e is not None and e.vector.dtype == np.float32 for e in done)
    matrix = np.zeros((len(results), settings.width), np.float32 if is_wide else np.float16)
    for row, embedded in enumerate(done):
        if embedded is not None:
            matrix[row] = embedded.vector
    is_missing = pa.array([e is None for e in done])
    for name, first, end in settings.layers:
        values = pa.array(np.ascontiguousarray(matrix[:, first:end]).ravel())
        columns[PREFIX + name] = pa.FixedSizeListArray.from_arrays(
            values, end - first, mask=is_missing
        )
    return pa.table(columns).replace_schema_metadata({"earmark": json_text(about)})


def _opened(path: Path, has_checksums: bool = True) -> tuple[Any, dict[str, Any]]:
    """Return the open Parquet file, and what it says of itself; PartError if it is not whole."""
    pa = extras.load("pyarrow", "parquet", "reading parts")
    pq = extras.load("pyarrow.parquet", "parquet", "reading parts")
    if (problem := not_a_file(path)) or not path.exists():
        raise PartError(f"{path} {problem or 'does not exist'}. Compute the part again.")
    if path.stat().st_size > MAX_PART_BYTES:
        raise PartError(f"{path} is too large for a part. Compute it again.")
    try:
        file = pq.ParquetFile(path, page_checksum_verification=has_checksums)
        text = (file.schema_arrow.metadata or {}).get(b"earmark", b"")
        about = strict_json(text) if len(text) <= MAX_ABOUT_BYTES else None
    except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
        raise PartError(
            f"{path} is cut or damaged ({first_line(error)}). Compute it again."
        ) from error
    if not isinstance(about, dict) or not isinstance(about.get("machine"), str):
        raise PartError(f"{path} is not a part. Remove it.")
    return file, about


def check_part(path: Path, part: Part) -> PartSummary:
    """Read the whole file of a part and return its summary; PartError if it is not that part."""
    pa = extras.load("pyarrow", "parquet", "reading parts")
    file, about = _opened(path)
    if (about.get("part"), about.get("fingerprint")) != (part.number, part.fingerprint):
        raise PartError(f"{path} has another fingerprint than its name. Compute the part again.")
    if file.metadata.num_rows != len(part.clips):
        rows = amount(file.metadata.num_rows, "row")
        raise PartError(f"{path} has {rows} instead of {len(part.clips):,}. Compute it again.")
    try:
        table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise PartError(f"{path} is damaged ({first_line(error)}). Compute it again.") from error
    seconds = [s for s in table["seconds"].to_pylist() if s is not None]
    return PartSummary(
        part.number,
        path.name,
        file_sha256(path).hex(),
        path.stat().st_size,
        table.num_rows,
        table.num_rows - table["error"].null_count,
        table.num_rows - table["warning"].null_count,
        float(sum(seconds)),
        about["machine"],
    )


def problems_of(path: Path) -> list[tuple[str, str | None, str | None]]:
    """Return (path, error, warning) of the rows that have an error or a warning."""
    file, _ = _opened(path)
    columns = file.read(columns=["path", "error", "warning"]).to_pydict()
    rows = zip(columns["path"], columns["error"], columns["warning"], strict=True)
    return [row for row in rows if row[1] is not None or row[2] is not None]


def read_layers(path: Path, names: Sequence[str]) -> np.ndarray:
    """Return the layers ``names`` of all clips of a part, side by side: (n, D).

    Rows of recordings that could not be read are undefined. The checksums of pages are not
    verified, because the caller has verified the digest of the file. Raises PartError.
    """
    pa = extras.load("pyarrow", "parquet", "reading parts")
    file, _ = _opened(path, has_checksums=False)
    try:
        table = file.read(columns=[PREFIX + name for name in names]).combine_chunks()
        layers = [table[PREFIX + name].chunk(0) for name in names]
        blocks = [y.values.to_numpy(zero_copy_only=False).reshape(len(y), -1) for y in layers]
    except (pa.ArrowException, OSError, KeyError, AttributeError, ValueError) as error:
        raise PartError(f"{path} is damaged ({first_line(error)}). Compute it again.") from error
    return np.concatenate(blocks, 1)


def dtype_of(path: Path) -> np.dtype[Any]:
    """Return the type of the numbers of a part: float16, or float32 if one is too large for it."""
    file, _ = _opened(path)
    kinds = [str(y.type.value_type) for y in file.schema_arrow if y.name.startswith(PREFIX)]
    return np.dtype(np.float32 if "float" in kinds else np.float16)
