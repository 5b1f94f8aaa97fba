"""Fetch recordings that lie elsewhere, so that they can be decoded here."""

from __future__ import annotations

from earmark.audio.copying import Copied, Fetched, fetch_object
from earmark.audio.parquet_rows import fetch_row
from earmark.audio.shards import fetch_member
from earmark.audio.uri import Ranged, UriSource
from earmark.system.objects import ObjectStatus, row_of


def fetch(
    source: UriSource, is_stretch: bool = False, known: ObjectStatus | None = None
) -> Fetched | Copied | Ranged:
    """Return a recording so that it can be decoded here.

    ``is_stretch`` says that only some of it will be read. Raises Refusal, also if its status is no
    longer the one that is ``known``.
    """
    if row_of(source.uri) is not None:
        return fetch_row(source, known)
    if source.member is not None:
        return fetch_member(source, known)
    return fetch_object(source, is_stretch, known)
