"""The Parquet file of a part: written whole, and checked before it is used."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from earmark.data.parts import PartSummary
from earmark.embeddings.part import Part
from earmark.errors import EarmarkError, amount, first_line
from earmark.system import extras
from earmark.system.files import file_sha256, not_a_file, whole_file
from earmark.system.jsons import json_text, strict_json

PREFIX = "layer_"  # of the columns of layers: a layer could have the name of another column
MAX_PART_BYTES = 1 << 32  # a part of the widest network has some hundred megabytes
MAX_ABOUT_BYTES = 1 << 20  # of the text about a part in its file
DICTIONARY = ("label", "group", "fold", "split")  # columns with few different texts


class PartError(EarmarkError):
    """The file of a part that is cut, damaged or of something else; it can be computed again."""


def write_part(
    path: Path, part: Part, table: Any, settings: Mapping[str, Any], machine: str
) -> PartSummary:
    """Write the table of a part (of pyarrow), and return the part's summary.

    The table has at least the columns ``path``, ``seconds``, ``warning`` and ``error``. Raises
    EarmarkError if the file cannot be written.
    """
    try:
        with whole_file(path) as unfinished:
            _write(unfinished, part, table, settings, machine)
            sha256, size = file_sha256(unfinished).hex(), unfinished.stat().st_size
    except OSError as error:
        raise EarmarkError(
            f"cannot write {path}: {error.strerror}. Free some space, or name another place."
        ) from error
    return _summary(path.name, part, table, sha256, size, machine)


def size_of(part: Part, table: Any, settings: Mapping[str, Any]) -> int:
    """Return the size of the file of a part in bytes, without writing it."""
    content = io.BytesIO()
    _write(content, part, table, settings, "")
    return content.getbuffer().nbytes


def _write(
    to: Path | BinaryIO, part: Part, table: Any, settings: Mapping[str, Any], machine: str
) -> None:
    """Write a part. Text is compressed; the numbers of layers, which are like noise, are not."""
    pq = extras.load("pyarrow.parquet", "parquet", "writing parts")
    about = {"part": part.number, "fingerprint": part.fingerprint, "rows": table.num_rows}
    about |= {"machine": machine, "settings": settings}
    table = table.replace_schema_metadata({"earmark": json_text(about)})
    others = [name for name in table.schema.names if not name.startswith(PREFIX)]
    pq.write_table(
        table,
        to,
        row_group_size=max(1, table.num_rows),
        compression={name: "zstd" if name in others else "none" for name in table.schema.names},
        use_dictionary=[name for name in DICTIONARY if name in others],
        write_statistics=others,
        write_page_checksum=True,
    )


def _summary(
    name: str, part: Part, table: Any, sha256: str, size: int, machine: str
) -> PartSummary:
    return PartSummary(
        part.number,
        name,
        sha256,
        size,
        table.num_rows,
        table.num_rows - table["error"].null_count,
        table.num_rows - table["warning"].null_count,
        float(sum(s for s in table["seconds"].to_pylist() if s is not None)),
        machine,
    )


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
    if file.metadata.num_rows != about.get("rows"):
        rows = amount(file.metadata.num_rows, "row")
        raise PartError(f"{path} has {rows} instead of {about.get('rows')}. Compute it again.")
    try:
        table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise PartError(f"{path} is damaged ({first_line(error)}). Compute it again.") from error
    size, digest = path.stat().st_size, file_sha256(path).hex()
    return _summary(path.name, part, table, digest, size, about["machine"])


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
