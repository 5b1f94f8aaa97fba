"""A folder of parts as data: what its parts share, the table of its files, and their rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from earmark.audio.options import AS_IT_IS, AudioOptions
from earmark.data.tables import Row, Table
from earmark.errors import DataError, EarmarkError, first_line
from earmark.system import extras
from earmark.system.files import file_sha256, not_a_file
from earmark.system.jsons import strict_json

SETTINGS = "parts.json"
EMBED = "embed"  # the kind of parts that have embeddings
TABLE = "parts.csv"  # of a share: parts-I-of-N.csv
MAX_SETTINGS_BYTES = 1 << 20
MAX_TABLE_BYTES = 1 << 28  # a million parts
MANIFEST = ("path", "label", "start", "end", "group", "fold", "split")  # columns from the manifest


@dataclass(frozen=True)
class PartSummary:
    """What the table of parts says of one part.

    Attributes
    ----------
    part : int
        Its number, from 0.
    file : str
        The name of its file.
    sha256 : str
        The digest of the file, as hexadecimal digits.
    bytes : int
        The size of the file.
    clips, failures, warnings : int
        Its rows, those of recordings that could not be read, and those with a warning.
    seconds : float
        Seconds of audio that were read.
    machine : str
        What its numbers were computed with: instruction set, engine, packages.
    """

    part: int
    file: str
    sha256: str
    bytes: int
    clips: int
    failures: int
    warnings: int
    seconds: float
    machine: str


COLUMNS = [field.name for field in fields(PartSummary)]


def is_folder_of_parts(folder: Path) -> bool:
    """Return whether a folder has parts, as ``earmark embed -o DIR`` writes them."""
    return (folder / SETTINGS).is_file()


def read_settings(folder: Path, kind: str | None = EMBED) -> dict[str, Any]:
    """Return what all parts of a folder share, from its file ``parts.json``.

    Raises EarmarkError if it cannot be read, and DataError if the parts are of another ``kind``;
    None is any kind.
    """
    path = folder / SETTINGS
    try:
        if (problem := not_a_file(path)) or path.stat().st_size > MAX_SETTINGS_BYTES:
            raise ValueError(problem or "is too large")
        settings: dict[str, Any] = strict_json(path.read_bytes())
        if not isinstance(settings, dict) or not isinstance(settings.get("kind"), str):
            raise ValueError("does not say what the parts share")
        if settings["kind"] == EMBED and not _is_complete(settings):
            raise ValueError("does not say what the parts share")
    except (OSError, ValueError, RecursionError) as error:
        raise EarmarkError(
            f"{path} cannot be used: {getattr(error, 'strerror', None) or error}. Delete it and run"
            " the command again."
        ) from error
    if kind not in (None, settings["kind"]):
        raise DataError(
            f"{folder} has results of `earmark {settings['kind']}`, not of `earmark {kind}`. Give"
            f" a folder that `earmark {kind}` wrote."
        )
    return settings


def _is_complete(settings: Mapping[str, Any]) -> bool:
    """Say whether the object of ``parts.json`` has all that readers of embeddings use."""
    if not isinstance(settings.get("layers"), dict):
        return False
    sizes = settings["layers"].values()
    texts = (settings.get("backbone"), settings.get("fingerprint"))
    is_text = all(isinstance(text, str) for text in texts)
    return is_text and bool(sizes) and all(type(size) is int and size > 0 for size in sizes)


def read_table(path: Path) -> list[PartSummary]:
    """Return the rows of a table of parts; EarmarkError if it cannot be read."""
    try:
        if (problem := not_a_file(path)) or path.stat().st_size > MAX_TABLE_BYTES:
            raise ValueError(problem or "is too large")
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if reader.fieldnames != COLUMNS:
                raise ValueError("its columns are others")
            return [_summary(row) for row in reader]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise EarmarkError(
            f"{path} is not a table of parts ({getattr(error, 'strerror', None) or error})."
        ) from error


def _summary(row: Mapping[str, str]) -> PartSummary:
    kinds = {"int": int, "float": float, "str": str}
    values = {f.name: kinds[str(f.type)](row[f.name]) for f in fields(PartSummary)}
    if Path(row["file"]).name != row["file"]:
        raise ValueError(f"{row['file']} is not the name of a file")
    return PartSummary(**values)


def whole_parts(folder: Path) -> list[PartSummary]:
    """Return all parts of a folder that is complete, after a check of each file by its digest.

    Raises DataError if a part is missing or has changed.
    """
    again = "Run `earmark embed` with this folder again, without --share."
    if not (folder / TABLE).is_file():
        raise DataError(f"{folder} has no {TABLE}, so parts may be missing. {again}")
    parts = read_table(folder / TABLE)
    for number, part in enumerate(parts):
        if not is_whole(folder, part) or part.part != number:
            path = folder / part.file
            raise DataError(f"{path} is missing or has changed since it was written. {again}")
    return parts


def is_whole(folder: Path, part: PartSummary) -> bool:
    """Return whether the file of a part has its digest. A file is hashed once per process."""
    path = folder / part.file
    try:
        return not not_a_file(path) and file_sha256(path).hex() == part.sha256
    except OSError:
        return False


def columns_of(path: Path, names: list[str]) -> dict[str, list[Any]]:
    """Return columns of the file of a part as lists; DataError if it cannot be read."""
    pa = extras.load("pyarrow", "parquet", "reading parts", DataError)
    pq = extras.load("pyarrow.parquet", "parquet", "reading parts", DataError)
    try:
        columns: dict[str, list[Any]] = pq.ParquetFile(path).read(columns=names).to_pydict()
        if missing := set(names) - set(columns):
            raise ValueError(f"it has no column {sorted(missing)[0]!r}")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({first_line(error)}). Compute it again.") from error
    return columns


def root_of(settings: Mapping[str, Any], folder: Path) -> Path:
    """Return the folder that the paths in parts start from."""
    about = settings.get("data")
    root = about.get("root") if isinstance(about, dict) else None
    return Path(root) if isinstance(root, str) else folder


def separator_of(settings: Mapping[str, Any]) -> str | None:
    """Return the text between the classes in the labels of parts, if clips may have several."""
    about = settings.get("data")
    separator = about.get("separator") if isinstance(about, dict) else None
    return separator if isinstance(separator, str) and separator else None


def audio_of(settings: Mapping[str, Any], given: AudioOptions) -> AudioOptions:
    """Return how recordings were read for parts; DataError if ``given`` says something else."""
    try:
        own = AudioOptions(**settings["audio"])
    except (EarmarkError, KeyError, TypeError) as error:
        raise DataError(f"{SETTINGS} has no valid options for audio. Write it again.") from error
    if given not in (AS_IT_IS, own):
        raise DataError(f"the parts were computed with {own}, not with {given}. Leave those out.")
    return own


def table_of_parts(folder: Path, root: Path | None = None) -> Table:
    """Return the rows of all parts; recordings that are not here are allowed."""
    start = root or root_of(read_settings(folder), folder)
    files = [folder / part.file for part in whole_parts(folder)]

    def rows() -> Iterator[tuple[int, Row]]:
        number = 0
        for path in files:
            columns = columns_of(path, list(MANIFEST))
            for cells in zip(*(columns[name] for name in MANIFEST), strict=True):
                number += 1
                yield number, dict(zip(MANIFEST, cells, strict=True))

    columns = list(MANIFEST)
    return Table(str(folder), columns, rows(), start, is_embedded=True)
