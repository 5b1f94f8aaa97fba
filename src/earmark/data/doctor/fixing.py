"""Correct what the doctor can correct by itself, and list every change."""

from __future__ import annotations

import collections
import dataclasses
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor.copies import exact_sets, near_sets
from earmark.data.doctor.examination import Examination, check_table
from earmark.data.doctor.findings import Finding, Names, by_severity, clip_fields
from earmark.data.doctor.recordings import is_heard, silent_clips
from earmark.data.doctor.tables import partition_of, spellings_of
from earmark.data.split_words import is_held_out
from earmark.errors import DataError, EarmarkError, amount, did_you_mean, listed

NEAR = ("near label conflict", "near leak", "near copies")
# Kinds of findings that are corrected. The checks of the table are repeated at the end.
CORRECTED = (
    *("unreadable", "empty", "silent", "similar labels", "label conflict", "leak", "copies"),
    *NEAR,
)
MOST_SEARCHES = 5  # for near copies: leaving clips out may reveal further ones
MOST_JOINED = 3  # names of groups that appear in the name of their joined group


@dataclass(frozen=True)
class Change:
    """A change to ``clips`` (as they were before), and the ``kind`` of finding that it corrects."""

    done: str
    kind: str
    clips: tuple[Clip, ...]
    detail: str

    def text(self) -> str:
        """Return a line of a table."""
        return f"{self.done:<9} {self.kind:<20} {self.detail}"

    def as_dict(self) -> dict[str, Any]:
        """Return the object that ``doctor --fix --json`` prints."""
        clips = [clip_fields(clip) for clip in self.clips]
        return {"done": self.done, "kind": self.kind, "detail": self.detail, "clips": clips}


@dataclass(frozen=True)
class Fixed:
    """A corrected dataset, the changes, and the findings that are left for a person.

    ``rows`` are the indices that its clips had in the original dataset.
    """

    dataset: Dataset
    rows: tuple[int, ...]
    changes: tuple[Change, ...]
    left: list[Finding]


def fix(examination: Examination, only: Collection[str] = CORRECTED) -> Fixed:
    """Return the examined dataset with corrections; no file is changed.

    ``only`` are the kinds of findings to correct. The others are left as they are.

    Recordings that are unreadable, empty or silent are left out. Of exact copies, one stays, or
    none if their classes differ, because one class must be wrong. Near copies get one group and, if
    there are folds, one fold. The spellings of a class become the most frequent one.

    Raises
    ------
    DataError
        If fewer than two classes would be left.
    EarmarkError
        If one of ``only`` is not a kind that can be corrected.
    """
    check_kinds(only)
    dataset, kinds = examination.dataset, frozenset(only)
    repair = _repaired(examination, kinds)
    for _ in range(MOST_SEARCHES if kinds & {*NEAR} else 0):
        known = set(examination.pairs)
        new = [pair for pair in examination.pairs_among(repair.clips) if pair not in known]
        if not new:
            break
        examination = dataclasses.replace(examination, pairs=(*examination.pairs, *new))
        repair = _repaired(examination, kinds)
    rows = tuple(i for i, clip in enumerate(dataset.clips) if clip in repair.clips)
    clips = tuple(repair.clips[dataset.clips[i]] for i in rows)
    corrected = dataclasses.replace(dataset, clips=clips)
    if len(corrected.labels) < 2 <= len(dataset.labels):
        classes = amount(len(corrected.labels), "class")
        raise DataError(
            f"of {amount(len(dataset), 'clip')}, only {amount(len(clips), 'clip')} of {classes}"
            " would be left. Correct the recordings or labels by hand, as the findings say."
        )
    table_kinds = {finding.kind for finding in check_table(dataset)}
    left = [f for f in examination.findings if f.kind not in kinds | table_kinds]
    left = by_severity([*check_table(corrected), *left])
    return Fixed(corrected, rows, tuple(repair.changes), left)


def check_kinds(kinds: Iterable[str]) -> None:
    """Refuse kinds of findings that cannot be corrected; EarmarkError names those that can."""
    for kind in kinds:
        if kind not in CORRECTED:
            raise EarmarkError(
                f"findings of the kind {kind!r} cannot be corrected."
                f"{did_you_mean(kind, CORRECTED)} Give {listed(CORRECTED)}."
            )


def _repaired(examination: Examination, kinds: frozenset[str]) -> _Repair:
    """Return the repair of the ``kinds`` of problems, with the near copies known so far."""
    repair = _Repair(examination.dataset, kinds)
    repair.drop_unheard(examination)
    repair.merge_spellings()
    twin = repair.drop_copies(examination)
    pairs = [(twin.get(a, a), twin.get(b, b)) for a, b in examination.pairs]
    repair.drop_conflicts(pairs)
    repair.join_near(pairs)
    return repair


class _Repair:
    """A repair in progress: ``clips`` maps the clips that are left to their new versions."""

    def __init__(self, dataset: Dataset, kinds: frozenset[str] = frozenset(CORRECTED)) -> None:
        self.dataset, self.names, self.kinds = dataset, Names(dataset.clips), kinds
        self.clips = {clip: clip for clip in dataset.clips}
        self.changes: list[Change] = []
        self.partition = partition_of(dataset)

    def classes(self, clip: Clip) -> frozenset[str]:
        return frozenset(self.dataset.classes(self.clips[clip]))

    def drop(self, kind: str, clips: Iterable[Clip], detail: str) -> None:
        """Leave out clips, if problems of this kind are corrected."""
        if kind not in self.kinds:
            return
        dropped = tuple(clip for clip in clips if self.clips.pop(clip, None) is not None)
        if dropped:
            self.changes.append(Change("left out", kind, dropped, detail))

    def drop_unheard(self, examination: Examination) -> None:
        """Leave out unreadable clips, and silent clips unless silence is their class."""
        for f in examination.facts:
            if f.error is not None:
                kind = "empty" if f.error.kind == "empty" else "unreadable"
                self.drop(kind, [f.clip], f"{self.names(f.clip)}: {f.error.reason}")
        for f in silent_clips(examination.facts)[0]:
            self.drop("silent", [f.clip], self.names.listed([f.clip]))

    def merge_spellings(self) -> None:
        """Change all spellings of a class to the most frequent one."""
        if "similar labels" not in self.kinds:
            return
        size = collections.Counter(
            name for clip in self.clips for name in self.dataset.classes(clip)
        )
        spelling: dict[str, str] = {}
        for names in spellings_of(sorted(size)).values():
            commonest = max(names, key=lambda name: size[name])  # the first of equal ones
            best = unicodedata.normalize("NFC", commonest)
            for name in names if len(names) > 1 else ():
                if name == best:
                    continue
                spelling[name] = best
                clips = tuple(clip for clip in self.clips if name in self.dataset.classes(clip))
                detail = f"{name!r} ({len(clips)}) is now {best!r} ({size[commonest]})"
                if unicodedata.normalize("NFC", name) == best:
                    detail += ", which looks the same but has other code points"
                self.changes.append(Change("renamed", "similar labels", clips, detail))
        for clip in self.clips:
            names = [spelling.get(name, name) for name in self.dataset.classes(clip)]
            if spelling and names:
                label = (self.dataset.separator or "").join(dict.fromkeys(names))
                self.clips[clip] = dataclasses.replace(clip, label=label)

    def drop_copies(self, examination: Examination) -> dict[Clip, Clip]:
        """Keep one of the clips with the same sound, or none if their classes differ.

        Test clips are kept rather than training clips. Returns the kept clip for each dropped one.
        """
        sounding = [f for f in examination.facts if is_heard(f) and f.clip in self.clips]
        twin: dict[Clip, Clip] = {}
        for same in exact_sets([f.clip for f in sounding], [f.content for f in sounding]):
            if len({self.classes(clip) for clip in same}) > 1:
                advice = "the same sound with several labels; listen, and add it with the right one"
                self.drop("label conflict", same, f"{self.names.listed(same, ' = ')}: {advice}")
                continue
            original = next((clip for clip in same if self._is_test(clip)), same[0])
            others = [clip for clip in same if clip is not original]
            kind = "leak" if self._crosses(same) else "copies"
            if kind in self.kinds:
                twin |= dict.fromkeys(others, original)
            copied = self.names.listed(others)
            name = self.names(original)
            self.drop(kind, others, f"{copied}: the same sound as {name}, which stays")
        return twin

    def drop_conflicts(self, pairs: Iterable[tuple[Clip, Clip]]) -> None:
        """Leave out near copies with different classes."""
        wrong = [
            pair
            for pair in pairs
            if all(clip in self.clips for clip in pair)
            and self.classes(pair[0]) != self.classes(pair[1])
        ]
        advice = "nearly the same sound with several labels; listen, and add the right ones"
        for same in near_sets(wrong):
            detail = f"{self.names.listed(same, ' ~ ')}: {advice}"
            self.drop("near label conflict", same, detail)

    def join_near(self, pairs: Iterable[tuple[Clip, Clip]]) -> None:
        """Give near copies one group and one fold; leave out near copies of test clips.

        Copies with different classes are no part of this.
        """
        here = [pair for pair in pairs if all(clip in self.clips for clip in pair)]
        sets = near_sets([(a, b) for a, b in here if self.classes(a) == self.classes(b)])
        for same in sets:
            tested = [clip for clip in same if self._is_test(clip)]
            if tested and len(tested) < len(same):
                others = [clip for clip in same if clip not in tested]
                test_name = self.names(tested[0])
                detail = f"{self.names.listed(others)}: near copy of the test clip {test_name}"
                self.drop("near leak", others, f"{detail}, which stays")
        sets = [tuple(clip for clip in same if clip in self.clips) for same in sets]
        sets = [same for same in sets if len(same) > 1 and self._near_kind(same) in self.kinds]
        if not sets:
            return
        group = self._joined_groups(sets)
        for same in sets:
            if len({self._own_group(clip) for clip in same}) > 1:
                detail = f"{self.names.listed(same, ' ~ ')}: group {group[same[0]]!r}"
                self.changes.append(Change("grouped", self._near_kind(same), same, detail))
        near = {group[same[0]] for same in sets}
        is_fold = self.partition is not None and self.partition.word == "fold"
        if is_fold and "near leak" in self.kinds:
            self._move_to_one_fold(group, near)
        for clip, name in group.items():
            self.clips[clip] = dataclasses.replace(self.clips[clip], group=name)

    def _crosses(self, clips: Iterable[Clip]) -> bool:
        """Return whether clips are in several folds, groups or splits."""
        return self.partition is not None and len(self.partition.parts(clips)) > 1

    def _near_kind(self, clips: Iterable[Clip]) -> str:
        return "near leak" if self._crosses(clips) else "near copies"

    def _own_group(self, clip: Clip) -> str:
        """Return the original group of ``clip``, or the name of its recording if it has none."""
        return self.names.path(clip) if clip.group is None else clip.group

    def _joined_groups(self, sets: Sequence[tuple[Clip, ...]]) -> dict[Clip, str]:
        """Return the new group of every clip; groups that share near copies become one."""
        parent: dict[str, str] = {}

        def root(name: str) -> str:
            while (above := parent.setdefault(name, name)) != name:
                name = above
            return name

        for same in sets:
            for clip in same[1:]:
                parent[root(self._own_group(clip))] = root(self._own_group(same[0]))
        members: dict[str, list[str]] = collections.defaultdict(list)
        for name in dict.fromkeys(map(self._own_group, self.clips)):
            members[root(name)].append(name)
        joined = {
            name: " + ".join(names[:MOST_JOINED])
            + (f" + {len(names) - MOST_JOINED} more" if len(names) > MOST_JOINED else "")
            for names in members.values()
            for name in names
        }
        return {clip: joined[self._own_group(clip)] for clip in self.clips}

    def _move_to_one_fold(self, group: dict[Clip, str], near: set[str]) -> None:
        """Move each group of ``near`` into the fold that has most of its clips."""
        for name in sorted(near):
            clips = [clip for clip in group if group[clip] == name]
            fold = collections.Counter(str(clip.fold) for clip in clips).most_common(1)[0][0]
            moved = tuple(clip for clip in clips if clip.fold != fold)
            for clip in moved:
                self.clips[clip] = dataclasses.replace(self.clips[clip], fold=fold)
            if moved:
                detail = f"{self.names.listed(moved)}: to fold {fold!r}, where the near copies are"
                self.changes.append(Change("moved", "near leak", moved, detail))

    def _is_test(self, clip: Clip) -> bool:
        is_split = self.partition is not None and self.partition.word == "split"
        return is_split and is_held_out(clip.split)
