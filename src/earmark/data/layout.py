"""Recognise sub-folders that are not classes: splits (train, test) and folds (fold1 ... fold10)."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from earmark.data.clip import Clip
from earmark.data.split_words import TEST, TRAIN, SplitMap, is_fold, likely_role, rest_of, role
from earmark.errors import DataError

# Names of folders with all recordings of one person, or of one day, of any class.
_PART = re.compile(
    r"(actor|speaker|spk|subject|participant|patient|person|session|user|id|split|cv|part|batch|day"
    r"|site)s?[ _-]?[0-9]+|fold[ _-]?[a-z]",
    re.IGNORECASE,
)
LISTS = {"test": "testing_list.txt", "validation": "validation_list.txt"}  # in Speech Commands


def arranged(
    folder: Path,
    clips: list[Clip],
    need_labels: bool,
    split_map: SplitMap,
    manifest_hint: Callable[[Path], str],
) -> tuple[list[Clip], list[str]]:
    """Return the clips of a folder with their split or fold, and notes on how they were read.

    Splits and folds are folders around the classes (``train/dog``) or inside each class
    (``dog/train``), or lists as in Speech Commands. A split folder that has recordings directly in
    it is refused, because their class is unknown.
    """
    if split_map.is_off:
        return clips, []
    folders = [os.path.dirname(clip.place) for clip in clips]
    parts_of = {name: Path(name).relative_to(folder).parts for name in set(folders)}
    parts = [parts_of[name] for name in folders]
    if not all(parts):
        return clips, []
    tops = list(dict.fromkeys(part[0] for part in parts))
    kind = _kind(folder, tops, split_map)
    notes = [] if kind else _doubts(folder, tops)
    if kind:
        direct = [clip for clip, part in zip(clips, parts, strict=True) if len(part) < 2]
        if direct and need_labels:
            raise DataError(
                f"{direct[0].path} is not in a class folder: {_listed(tops)} are read as {kind}s."
                " Put each recording into a sub-folder with the name of its class, or give a"
                " manifest. If these folders are classes, give --split-map none."
                f"{manifest_hint(folder)}"
            )
        return _moved(clips, parts, 0, kind, split_map), [_note(kind, tops, "classes")]
    if all(len(part) > 1 for part in parts):
        inner = list(dict.fromkeys(part[1] for part in parts))
        kind = _kind(folder, inner, split_map) if len(inner) > 1 else None
        if kind:
            moved = _moved(clips, parts, 1, kind, split_map)
            return moved, [*notes, _note(kind, inner, "parts of the class")]
        notes += _alike_inside(folder, tops, parts)
    return _by_lists(folder, clips, notes)


def _kind(folder: Path, names: Sequence[str], split_map: SplitMap) -> str | None:
    """Return 'split' or 'fold' if all names are these, else None; DataError for a clear mixture."""
    roles = [role(split_map.applied(name)) for name in names]
    folds = [is_fold(name) for name in names]
    if all(roles):
        return "split"
    if all(folds):
        return "fold"
    is_mapped = any(name.strip().casefold() in split_map.roles for name in names)
    if {TRAIN, TEST} <= set(roles) or sum(folds) > 1 or is_mapped:
        is_split = [bool(r) or f for r, f in zip(roles, folds, strict=True)]
        unclear = [name for name, known in zip(names, is_split, strict=True) if not known]
        unclear = unclear or [name for name, known in zip(names, roles, strict=True) if not known]
        raise DataError(
            f"{folder} has the folders {_listed(names)}. Some are splits or folds, but"
            f" {_listed(unclear)} may be a split or a class. Give --split-map"
            f" {','.join(f'{name}=train' for name in unclear[:3])} (or =test), or --split-map none"
            " if all are classes."
        )
    return None


def _moved(
    clips: Sequence[Clip],
    parts: Sequence[tuple[str, ...]],
    level: int,
    kind: str,
    split_map: SplitMap,
) -> list[Clip]:
    """Return the clips with the folder at ``level`` as split or fold, and the other as label."""
    moved = []
    for clip, part in zip(clips, parts, strict=True):
        label = part[1 - level].strip() if len(part) > 1 else None
        name = part[level].strip()
        value = split_map.applied(name) if kind == "split" else name
        is_split = kind == "split"
        moved.append(
            replace(clip, label=label, split=value)
            if is_split
            else replace(clip, label=label, fold=value)
        )
    return moved


def _doubts(folder: Path, tops: Sequence[str]) -> list[str]:
    """Return notes on folders that are read as classes but are named like splits or persons.

    Raises DataError for names such as train_audio and test_audio, which are probably splits.
    """
    likely = [likely_role(top) for top in tops]
    rests = [{rest_of(top) for top in tops if likely_role(top) == word} for word in (TRAIN, TEST)]
    if None not in likely and rests[0] & rests[1]:
        mapped = ",".join(f"{top}={word}" for top, word in zip(tops, likely, strict=True))
        raise DataError(
            f"{folder} has the folders {_listed(tops)}, which may be splits or classes. Give"
            f" --split-map {shlex.quote(mapped)}, or --split-map none if they are classes."
        )
    if len(tops) > 1 and all(map(_PART.fullmatch, tops)):
        return [
            f"the classes {_listed(tops)} are named like speakers or parts; if they are not the"
            " classes, give a manifest with a column of classes, and these names as --group"
        ]
    alike = [top for top in tops if role(top) or is_fold(top)]
    if {TRAIN, TEST} <= {*likely}:
        alike = [top for top, word in zip(tops, likely, strict=True) if word]
    if not alike:
        return []
    all_mapped = ",".join(f"{top}={likely_role(top) or TRAIN}" for top in tops[:3])
    are = "folder {} is read as a class, like the others"
    if len(alike) > 1:
        are = "folders {} are read as classes"
    return [
        f"the {are.format(_listed(alike))}; if the folders are splits, list them all: --split-map"
        f" {shlex.quote(all_mapped)}"
    ]


def _alike_inside(folder: Path, tops: Sequence[str], parts: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a note if all classes have the same sub-folders: these may be the real classes.

    Raises DataError if one of the folders is named like a split, because all are splits then.
    """
    inside: dict[str, set[str]] = {top: set() for top in tops}
    for part in parts:
        inside[part[0]].add(part[1])
    names = inside[tops[0]]
    if len(tops) < 2 or len(names) < 2 or any(other != names for other in inside.values()):
        return []
    if any(role(top) or is_fold(top) for top in tops):
        mapped = ",".join(f"{top}={role(top) or TRAIN}" for top in tops[:5])
        raise DataError(
            f"{folder} has the folders {_listed(tops)}, each with the sub-folders"
            f" {_listed(sorted(names))}, so they may be splits. Give --split-map"
            f" {shlex.quote(mapped)} (or =test), or --split-map none if they are classes."
        )
    return [
        f"each of the classes {_listed(tops)} has the same sub-folders, {_listed(sorted(names))},"
        " which are ignored; if these are the classes, give a manifest"
    ]


def _by_lists(folder: Path, clips: list[Clip], notes: list[str]) -> tuple[list[Clip], list[str]]:
    """Return the clips with the splits that the lists of Speech Commands state, and notes."""
    splits: dict[str, str] = {}
    for split, name in LISTS.items():
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
            splits |= {line.strip(): split for line in lines}
    if not splits:
        return clips, notes
    stated = [splits.get(clip.path.relative_to(folder).as_posix()) for clip in clips]
    if not any(stated):
        return clips, notes
    clips = [replace(c, split=s or TRAIN) for c, s in zip(clips, stated, strict=True)]
    files = " and ".join(name for name in LISTS.values() if (folder / name).is_file())
    return clips, [*notes, f"clips listed in {files} are held out; earmark 0.1 trained on them"]


def _note(kind: str, names: Sequence[str], before: str) -> str:
    return f"the folders {_listed(names)} are read as {kind}s; earmark 0.1 read them as {before}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[: 4 if more else 5])) + more
