"""Clips with labels, out of a folder of class folders or a manifest; checked before use."""

import contextlib
import csv
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from earmark.audio import is_recording
from earmark.errors import DataError, did_you_mean
from earmark.manifests import MANIFEST_SUFFIXES, Row, read_table

COLUMNS = ("path", "label", "start", "end", "group", "fold", "split")  # of a manifest we write


@dataclass(frozen=True)
class Clip:
    """What has a label: a recording, or the stretch ``start..end`` (seconds) of one."""

    path: Path
    label: str | None = None
    start: float | None = None  # None: from the beginning
    end: float | None = None  # None: to the end
    group: str | None = None
    fold: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class Dataset:
    """Clips in a fixed order; ``source`` says where they came from, for people to read."""

    clips: tuple[Clip, ...]
    source: str = field(compare=False)

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    @property
    def labels(self) -> list[str]:
        """The distinct labels, sorted."""
        return sorted({clip.label for clip in self.clips if clip.label is not None})

    @classmethod
    def read(
        cls,
        data: str | Path,
        *,
        label: str = "label",
        group: str | None = None,
        fold: str | None = None,
        need_labels: bool = True,
        least_classes: int = 2,
    ) -> "Dataset":
        """Read a folder with one sub-folder per class, or a manifest, with absolute paths.

        A class folder is searched through; names that cannot be recordings are passed over (see
        ``audio.is_recording``). Without ``need_labels``, recordings beside class folders are taken
        too, without a label, and one class will do.

        A manifest is a .csv (comma, semicolon or tab), .tsv, .jsonl, .ndjson, .json (lines or one
        array) or .parquet file with columns ``path``, ``label`` and, if wanted, ``start``, ``end``
        (seconds), ``group``, ``fold``, ``split``; others are ignored. ``label``, ``group`` and
        ``fold`` name columns to use instead. Paths are relative to the manifest.

        Raises DataError, one sentence, for anything missing, empty, doubtful or contradictory.
        """
        data = Path(os.path.abspath(data))
        if not os.path.exists(data):
            raise DataError(f"{data} is not there;{_near(data)} give a folder or a manifest.")
        if data.is_dir():
            if (label, group, fold) != ("label", None, None):
                raise DataError(f"{data} is a folder and has no columns; give a manifest.")
            clips = _folder_clips(data, need_labels)
        else:
            wanted = {"label": label, "group": group or "group", "fold": fold or "fold"}
            named = {column for column in (label, group, fold) if column not in ("label", None)}
            clips = _manifest_clips(data, wanted, named, need_labels)
        dataset = cls(tuple(clips), str(data))
        if need_labels and len(dataset.labels) < least_classes:
            raise DataError(
                f"{data} has one class only, {dataset.labels[0]!r}; give at least two."
                f"{_manifest_hint(data)}"
            )
        return dataset

    def to_manifest(self, path: str | Path) -> None:
        """Write a .csv that reads back to an equal dataset; whole or not at all.

        Paths are relative to it where that is possible. Columns that no clip fills are left out.
        """
        path = Path(os.path.abspath(path))
        if path.suffix.lower() != ".csv":
            raise DataError(f"{path} would not be read as a .csv; give a name that ends in .csv.")
        used = [name for name in COLUMNS if any(getattr(clip, name) is not None for clip in self)]
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with part.open("w", encoding="utf-8", newline="") as file:
                out = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)  # keeps blanks at the edges
                out.writerow(used)
                for clip in self:
                    cells = {**vars(clip), "path": _relative(clip.path, path.parent)}
                    out.writerow(["" if cells[name] is None else cells[name] for name in used])
            os.replace(part, path)
        except (OSError, UnicodeEncodeError) as error:
            raise DataError(f"{path} cannot be written: {error}; choose another place.") from error
        finally:
            with contextlib.suppress(OSError):
                part.unlink()


def paths(inputs: Iterable[str | Path]) -> list[Path]:
    """Expand files and folders into recordings, in the order given; folders are searched through.

    A file is taken whatever its name. Raises DataError for a path that is not there and for a
    folder without recordings.
    """
    found: list[Path] = []
    for path in map(Path, inputs):
        if not os.path.exists(path):
            raise DataError(f"{path} is not there;{_near(path)} give recordings or folders.")
        inside = list(_walk(path)) if path.is_dir() else [path]
        if not inside:
            raise DataError(f"{path} holds no recordings; give recordings or folders.")
        found += inside
    return found


# Folders


def _folder_clips(folder: Path, need_labels: bool) -> list[Clip]:
    """Make a clip of every recording below ``folder``; the first sub-folder is its label."""
    clips = []
    for entry in _entries(folder):
        if entry.is_dir():
            inside = [Clip(path, entry.name.strip()) for path in _walk(entry)]
            if not inside:
                raise DataError(f"{entry} holds no recordings; fill this class or remove it.")
            clips += inside
        elif need_labels and is_recording(entry):
            raise DataError(
                f"{entry} lies outside the class folders; put each recording into a sub-folder "
                f"with the name of its class, or give a manifest.{_manifest_hint(folder)}"
            )
        elif is_recording(entry):
            clips.append(Clip(entry))
    if not clips:
        raise DataError(
            f"{folder} holds no recordings; give a folder with one sub-folder of recordings "
            f"per class, or a manifest.{_manifest_hint(folder)}"
        )
    return clips


def _walk(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield the recordings below ``folder`` in natural order; follow links, but not in circles."""
    here = folder.resolve()
    if here in above:
        raise DataError(f"{folder} is a link back to {here}; remove the link.")
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _walk(entry, (*above, here))
        elif is_recording(entry):
            yield entry


def _entries(folder: Path) -> list[Path]:
    """List what is in ``folder``, without hidden names, in natural order (2 before 10)."""
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(
            f"{folder} cannot be listed: {error.strerror}; check its permissions."
        ) from error
    return sorted(entries, key=lambda entry: _natural(entry.name))


def _natural(name: str) -> tuple[list[str | int], str]:
    """Order names as people do: numbers by value, letters without case."""
    pieces = re.split("([0-9]+)", name)  # text, digits, text, digits, ... text
    return [int(p) if i % 2 else p.casefold() for i, p in enumerate(pieces)], name


def _manifest_hint(data: Path) -> str:
    """Point at a manifest that lies in a folder which does not do as a dataset itself."""
    if data.is_dir():
        for entry in _entries(data):
            if entry.suffix.lower() in MANIFEST_SUFFIXES:
                return f" Is {entry} the manifest?"
    return ""


# Manifests


def _manifest_clips(
    manifest: Path, wanted: dict[str, str], named: set[str], need_labels: bool
) -> list[Clip]:
    """Make a clip of every row. ``wanted`` maps our columns to its own; ``named`` must exist."""
    columns, rows = read_table(manifest, {*COLUMNS, *wanted.values()})
    for column in ["path", *([wanted["label"]] if need_labels else []), *sorted(named)]:
        if column not in columns:
            raise DataError(
                f"{manifest} has no column {column!r};{did_you_mean(column, columns)} "
                f"it has {', '.join(map(repr, columns)) or 'none'}."
            )
    clips: dict[int, Clip] = {}
    for number, row in rows:
        try:
            clips[number] = _clip(row, wanted, manifest.parent, need_labels)
        except ValueError as error:
            raise DataError(f"{manifest}, row {number}: {error}.") from error
    if not clips:
        raise DataError(f"{manifest} has no rows; list one clip in each.")
    _check_present(manifest, clips)
    _check_filled(manifest, clips, {ours for ours, theirs in wanted.items() if theirs in named})
    _check_distinct(manifest, clips)
    return list(clips.values())


def _clip(row: Row, wanted: dict[str, str], folder: Path, need_labels: bool) -> Clip:
    """Make a clip of one row; ValueError says what is wrong with it."""
    cells = {name: _text(row.get(wanted.get(name, name))) for name in COLUMNS}
    path = cells["path"]
    if not path.strip():
        raise ValueError("the path is empty; name a recording")
    label, group, fold, split = (
        cells[name].strip() or None for name in ("label", "group", "fold", "split")
    )
    if need_labels and not label:
        raise ValueError(f"{path!r} has an empty {wanted['label']}; label it or remove the row")
    start, end = (_seconds(name, cells[name]) for name in ("start", "end"))
    if start is not None and start < 0:
        raise ValueError(f"start {start:g} is negative; give seconds from the beginning")
    if end is not None and end <= (start or 0):
        raise ValueError(f"end {end:g} is not after start {start or 0:g}; both are in seconds")
    return Clip(Path(os.path.abspath(folder / path)), label, start, end, group, fold, split)


def _text(value: object) -> str:
    """Return a cell as text, an absent one as empty; whole numbers without a decimal point."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (list, dict, bytes)):
        raise ValueError(f"{str(value)[:60]} is not a single value; give text or a number")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _seconds(name: str, text: str) -> float | None:
    """Read a time in seconds, None from an empty cell."""
    if not text.strip():
        return None
    with contextlib.suppress(ValueError):
        if math.isfinite(seconds := float(text)):
            return seconds
    raise ValueError(f"{name} {text!r} is not a number; give seconds, such as 1.5")


def _check_present(manifest: Path, clips: dict[int, Clip]) -> None:
    there = {path: os.path.isfile(path) for path in {clip.path for clip in clips.values()}}
    lost = [f"row {n} {str(c.path)!r}" for n, c in clips.items() if not there[c.path]]
    if lost:
        raise DataError(
            f"{manifest}: {len(lost)} of {len(clips)} rows name a recording that is not there, "
            f"first {', '.join(lost[:3])}; paths are relative to {manifest.parent}."
        )


def _check_filled(manifest: Path, clips: dict[int, Clip], named: set[str]) -> None:
    """A group, fold or split is a matter of all clips or of none."""
    for name in ("group", "fold", "split"):
        empty = [n for n, clip in clips.items() if getattr(clip, name) is None]
        if empty and (len(empty) < len(clips) or name in named):
            raise DataError(
                f"{manifest}, row {empty[0]}: the {name} is empty, as in {len(empty)} of "
                f"{len(clips)} rows; fill it in everywhere or drop the column."
            )


def _check_distinct(manifest: Path, clips: dict[int, Clip]) -> None:
    seen: dict[tuple[Path, float, float | None], int] = {}
    for n, clip in clips.items():
        first = seen.setdefault((clip.path, clip.start or 0.0, clip.end), n)
        if first != n:
            a, b = clips[first].label, clip.label
            labels = f"label it {a!r} and {b!r}" if a != b else "are the same clip"
            raise DataError(f"{manifest}: rows {first} and {n} {labels} ({clip.path}); keep one.")


# Paths


def _near(path: Path) -> str:
    """Suggest a neighbour of a path that is not there."""
    try:
        return did_you_mean(path.name, (entry.name for entry in path.parent.iterdir()))
    except OSError:
        return ""


def _relative(path: Path, folder: Path) -> str:
    """Return ``path`` from ``folder``, with slashes; absolute if on another drive."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return str(path)
