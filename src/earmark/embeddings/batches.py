"""Embed rows of a manifest that come in batches of Arrow, as from Spark's ``mapInArrow``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from earmark.audio.options import AS_IT_IS, AudioOptions
from earmark.audio.source import BytesSource
from earmark.backbones.base import Backbone
from earmark.backbones.registry import load_backbone
from earmark.data.blocks import read_rows
from earmark.data.clip import Clip
from earmark.data.columns import resolve
from earmark.data.rows import RowReader
from earmark.data.tables import AUDIO_COLUMN, AUDIO_ROWS, Row, Table
from earmark.embeddings import shares
from earmark.embeddings.embed_work import EmbedWork
from earmark.embeddings.part import PartSettings
from earmark.embeddings.part_files import PREFIX
from earmark.embeddings.pipeline import embed_stream, without_recording
from earmark.errors import DataError
from earmark.system import extras

NAME = "the batches"  # in errors


def embed_batches(
    batches: Iterable[Any],
    backbone: str | Backbone,
    *,
    root: str | Path = ".",
    layers: str = "all",
    options: AudioOptions = AS_IT_IS,
    separator: str | None = None,
    allow_remote: bool = False,
    threads: int = 1,
) -> Iterator[Any]:
    """Embed the rows of a manifest; yield a batch for each 1,024 rows, in their order.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch
        Rows with the columns of a manifest: ``path``, and if needed ``label``, ``start``, ``end``,
        ``group``, ``fold``, ``split``. A column ``audio`` with the fields ``bytes`` and ``path``
        may hold the recordings instead.
    backbone : str or Backbone
        The network.
    root : str or Path
        The folder that paths start from.
    layers : str
        The layers to yield: 'last', 'all' or 'NAME,NAME'.
    options : AudioOptions
        How recordings are read.
    separator : str, optional
        The text between the classes of a label with several.
    allow_remote : bool
        Whether to fetch recordings that rows name elsewhere.
    threads : int
        Threads that compute. Spark gives a task one core.

    Yields
    ------
    pyarrow.RecordBatch
        The columns of a part, as :func:`batch_schema` says: ``layer_NAME`` has lists of float32,
        means and then deviations of one layer. A recording that cannot be read has a row with the
        reason in ``error``. If the rows are those of a manifest from its beginning, the numbers are
        those of ``earmark embed -o DIR``.

    Raises
    ------
    DataError
        A row cannot be a clip, or names a recording elsewhere without ``allow_remote``.
    """
    network = load_backbone(backbone) if isinstance(backbone, str) else backbone
    schema, folder = batch_schema(network, layers), Path(root).absolute()
    work = EmbedWork(PartSettings.of(network, options, layers), network, folder)
    clips = _clips(batches, folder, separator, allow_remote)
    stream = embed_stream(clips, network, options=options, threads=threads)
    results = map(without_recording, stream)  # a thousand of them may be large
    while run := list(itertools.islice(results, shares.PART_CLIPS)):
        yield work.table(run).cast(schema).combine_chunks().to_batches()[0]


def batch_schema(backbone: str | Backbone, layers: str = "all") -> Any:
    """Return the pyarrow.Schema of the batches that :func:`embed_batches` yields.

    Unlike parts, it has no types that Spark does not know: lists of a fixed size, and float16.
    """
    pa = extras.load("pyarrow", "parquet", "embedding batches")
    network = load_backbone(backbone) if isinstance(backbone, str) else backbone
    settings = PartSettings.of(network, AS_IT_IS, layers)
    texts = ("label", "group", "fold", "split", "warning", "error")
    return pa.schema(
        [
            ("key", pa.binary()),
            ("path", pa.string()),
            ("version", pa.binary()),
            *((name, pa.float64()) for name in ("start", "end", "seconds")),
            *((name, pa.string()) for name in texts),
            *((PREFIX + name, pa.list_(pa.float32())) for name, _, _ in settings.layers),
        ]
    )


def _clips(
    batches: Iterable[Any], folder: Path, separator: str | None, allow_remote: bool
) -> Iterator[Clip]:
    reader, number = None, 0
    for batch in batches:
        if reader is None:
            reader = _reader(list(batch.schema.names), folder, separator)
        for at in range(0, len(batch), AUDIO_ROWS):
            rows: list[Row] = batch.slice(at, AUDIO_ROWS).to_pylist()
            numbered = list(enumerate(rows, number + 1))
            number += len(rows)
            if "path" in batch.schema.names:
                yield from read_rows(reader, numbered, allow_remote)
            else:
                yield from _embedded(reader, numbered)


def _reader(columns: list[str], folder: Path, separator: str | None) -> RowReader:
    own = [name for name in columns if name != AUDIO_COLUMN]
    if AUDIO_COLUMN in columns and "path" not in columns:
        own.append("path")
    table = Table(NAME, own, (), folder)
    names, _ = resolve(NAME, own, {}, False)
    return RowReader(table, names, separator, takes_uris=True)


def _embedded(reader: RowReader, numbered: list[tuple[int, Row]]) -> Iterator[Clip]:
    """Yield clips of rows whose recordings are bytes in the column of audio."""
    for number, row in numbered:
        cell = row[AUDIO_COLUMN]
        content = cell.get("bytes") if isinstance(cell, Mapping) else None
        if not content:
            raise DataError(
                f"{NAME}, row {number}: the column {AUDIO_COLUMN!r} has no bytes. Give a column"
                " 'path' instead."
            )
        name = str(cell.get("path") or f"row {number}")
        (clip,) = read_rows(reader, [(number, {**row, "path": name})], True)
        yield replace(clip, recording=BytesSource(content, name))
