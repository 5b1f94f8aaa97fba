"""Rows that name recordings elsewhere by a URI, which are fetched only with permission."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from earmark.data.clip import Clip
from earmark.errors import DataError, amount
from earmark.system.files import relative_path
from earmark.system.objects import MEMBER, NAMED, SCHEMES, row_of, scheme_of, shown

_WAY_OUT = (
    "Nothing was fetched. Give --allow-remote, or in Python Dataset.read(..., allow_remote=True),"
    " to fetch from there."
)


def place_of(name: str) -> str | None:
    """Return the URI in a cell of paths, its scheme in lower case; None if it is a path.

    ValueError says what is wrong with it.
    """
    scheme = scheme_of(name := name.strip())
    if scheme is None or scheme == "file":
        return None
    try:
        is_whole = all(urlsplit(name)[1:3])
    except ValueError:  # such as an open bracket
        is_whole = False
    if not is_whole:
        raise ValueError(f"{shown(name)!r} is not a whole address. Give SCHEME://PLACE/NAME")
    if scheme not in SCHEMES:
        raise ValueError(f"{shown(name)!r} has the scheme {scheme}. Use {NAMED}, or a path")
    archive, *members = name.split(MEMBER)
    is_member = len(members) == 1 and members[0] and archive.lower().endswith(".tar")
    if members and not is_member and not (len(members) == 1 and row_of(name)):
        raise ValueError(
            f"{shown(name)!r} is a chain of names. Name a recording, one file of a .tar"
            " (s3://BUCKET/NAME.tar::FILE), or one row of a .parquet, from 0"
            " (s3://BUCKET/NAME.parquet::ROW)"
        )
    return scheme + name[len(scheme) :]


def local_path(name: str) -> str:
    """Return the path that a ``file:`` URI names; other names as they are."""
    if scheme_of(name.strip()) != "file":
        return name
    parts = urlsplit(name.strip())
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"{name!r} names a file of another machine. Give a path of this one")
    return url2pathname(parts.path)


def place_from(clip: Clip, folder: Path) -> str:
    """Return the path of a clip relative to a folder, or its URI."""
    return clip.place if clip.is_remote else relative_path(clip.path, folder)


def check_allowed(name: str, numbers: Sequence[int], clips: Sequence[Clip]) -> None:
    """Raise DataError if rows of a table name recordings that lie elsewhere."""
    rows = [row for row, clip in enumerate(clips) if clip.is_remote]
    if rows:
        verb = "names a recording" if len(rows) == 1 else "name recordings"
        first = shown(clips[rows[0]].place)
        raise DataError(
            f"{name}: {len(rows):,} of {amount(len(clips), 'row')} {verb} elsewhere, first row"
            f" {numbers[rows[0]]}: {first!r}. {_WAY_OUT}"
        )


def clip_elsewhere(uri: str, allow_remote: bool) -> Clip:
    """Return a whole recording that lies elsewhere; DataError without permission to fetch it."""
    try:
        place = place_of(uri) or uri
    except ValueError as error:
        raise DataError(f"{error}.") from error
    if not allow_remote:
        raise DataError(f"{shown(uri)} is elsewhere. {_WAY_OUT}")
    return Clip(place)  # type: ignore[arg-type]  # a URI stays text
