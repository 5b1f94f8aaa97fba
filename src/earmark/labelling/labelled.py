"""The labelled windows of an archive as a dataset of clips, to train on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from earmark.audio.options import AS_IT_IS, AudioOptions
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.parts import audio_of
from earmark.data.remote import check_allowed
from earmark.embeddings.archive import Archive, ArchiveRecording
from earmark.errors import DataError, amount, listed
from earmark.labelling.answered import HAS_CHANGED, left_out
from earmark.labelling.conditions import cell_of, check_column
from earmark.labelling.decisions import Decision
from earmark.labelling.labels import LabelFile, labels_of
from earmark.system.objects import is_uri

OTHER = ("other", "none of these")  # the class of windows without any class; the first free name
SEPARATORS = (";", "|", " + ")  # between the classes of a window; the first that no class has
LEAST_PARTS = 3  # recordings with a class: one to test, one to select by, one to train on
CHOSEN_BY_SCORE = (
    "the labelled windows were chosen by score, so the estimate is about windows like them, and not"
    " about the whole archive. `earmark density` estimates how many there are in the archive."
)


def labelled_dataset(
    archive_path: str | Path,
    labels: str | Path | None = None,
    group: str | None = None,
    *,
    separator: str | None = None,
    audio: AudioOptions = AS_IT_IS,
    allow_remote: bool = False,
    to_train: bool = True,
) -> Dataset:
    """Return the labelled windows of an archive as clips.

    A window has all classes that were found in it. A window that has none of them becomes a clip of
    the class 'other'; if some windows have several classes, a clip without a class. A window that
    was refused for some of the classes only may have another one, and is left out.

    Parameters
    ----------
    archive_path : str or Path
        The folder that ``earmark index`` wrote.
    labels : str or Path, optional
        The file of labels; by default the one in the archive.
    group : str, optional
        A column of the recordings: recordings with the same value stay in one fold. By default all
        windows of one recording do, and recordings with the same content count as one.
    separator : str, optional
        The text between the classes of a window, as if some windows had several.
    audio : AudioOptions
        How recordings are read, if the archive does not say it.
    allow_remote : bool
        Whether recordings that the archive names by a URI may be fetched.
    to_train : bool
        Whether to refuse labels that are too few to train on, and to give no class of its own to
        what was found in fewer than three groups.

    Returns
    -------
    Dataset
        Its ``notes`` list what was left out: contradictions, and windows in recordings that are
        gone or have changed since.

    Raises
    ------
    DataError
        There are no labels, or too few to train on.
    ArchiveError
        The folder is no archive.
    """
    with Archive(archive_path) as archive:
        places = _Places(archive.recordings(), archive.former_places())
        if archive.networks:
            audio = audio_of(archive.network().settings, audio)
    file = Path(labels) if labels is not None else labels_of(archive.path)
    windows = _Windows.of(file, places, archive.path)
    classes = windows.classes()
    if not classes:
        raise DataError(
            f"{file} has no window with a class. Label windows with `earmark label"
            f" {archive_path} --class NAME`."
        )
    if to_train:
        classes = windows.with_enough(classes, group)
    separator = separator or windows.separator(classes)
    clips = windows.clips(classes, separator, group)
    if to_train:
        _check_enough(archive_path, clips, separator)
    if not allow_remote:
        check_allowed(str(file), range(1, len(clips) + 1), clips)
    origin = {"data": str(archive_path), "label": "label", "group": group, "fold": None}
    origin |= {"separator": None, "root": None, **({"labels": str(labels)} if labels else {})}
    return Dataset(tuple(clips), str(archive_path), separator, audio, origin, tuple(windows.notes))


def caveat(group: str | None) -> str:
    """Return what to know about an estimate from labelled windows: the folds, and the choice."""
    part = "recording" if group is None else group
    return f"all windows of a {part} are in one fold; {CHOSEN_BY_SCORE}"


class _Places:
    """The recordings of an archive by place; copies of one content have one recording."""

    def __init__(self, recordings: Iterable[ArchiveRecording], former: Mapping[str, int]) -> None:
        self.all = list(recordings)
        contents = {**former, **{r.place: r.content for r in self.all}}
        self._contents = {_place(place): content for place, content in contents.items()}
        self._there: dict[int, ArchiveRecording] = {}
        for recording in self.all:
            number = recording.content
            if number is not None and not recording.is_gone:
                before = self._there.setdefault(number, recording)
                if before is not recording and not before.exists:
                    self._there[number] = recording

    def find(self, place: str) -> ArchiveRecording | None:
        """Return the recording at a place, or a copy that is there; None if it is gone."""
        content = self._contents.get(_place(place))
        return None if content is None else self._there.get(content)

    @property
    def n_datasets(self) -> int:
        """The number of data sets."""
        return len({recording.dataset for recording in self.all})


def _place(place: str) -> str:
    return place if is_uri(place) else os.path.abspath(place)


@dataclass
class _Window:
    """What is known of one stretch: whether each class that was asked about is there."""

    recording: ArchiveRecording
    start: float | None
    end: float | None
    verdicts: dict[str, bool] = field(default_factory=dict)
    is_contradicted: bool = False

    @property
    def name(self) -> str:
        """The place and the stretch, for people."""
        return Clip(Path(self.recording.place), start=self.start, end=self.end).name


@dataclass
class _Windows:
    """All labelled windows, and notes on those that are left out."""

    places: _Places
    archive: Path
    notes: list[str]
    windows: dict[tuple[int, float, float | None], _Window] = field(default_factory=dict)
    gone: dict[str, None] = field(default_factory=dict)
    changed: dict[str, None] = field(default_factory=dict)
    contradicted: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, file: Path, places: _Places, archive: Path) -> _Windows:
        """Take the answers of a file of labels."""
        answers = LabelFile(file).read()
        windows = cls(places, archive, notes=list(answers.notes))
        for first, second in answers.contradictions:
            windows.contradict(first, second)
        for decision in answers.decisions:
            windows.add(decision)
        return windows

    def _window(self, decision: Decision) -> _Window | None:
        recording = self.places.find(decision.place)
        if recording is None or recording.content is None:
            self.gone[decision.place] = None
            return None
        if not decision.is_about(recording.digest):
            self.changed[decision.clip_name] = None
            return None
        key = (recording.content, *decision.stretch[1:])
        window = _Window(recording, decision.start, decision.end)
        return self.windows.setdefault(key, window)

    def add(self, decision: Decision) -> None:
        """Take the answer of one decision."""
        window = self._window(decision)
        if window is None:
            return
        for name in names_of(decision):
            is_there = decision.about(name)
            if is_there is None:
                continue
            if window.verdicts.setdefault(name, is_there) != is_there:
                window.is_contradicted = True

    def contradict(self, first: Decision, second: Decision) -> None:
        """Leave out a window that two people answered in different ways."""
        for decision in (first, second):
            window = self._window(decision)
            if window is not None:
                window.is_contradicted = True

    def classes(self) -> list[str]:
        """Return the classes that some window has, sorted."""
        usable = [window for window in self.windows.values() if not window.is_contradicted]
        return sorted({n for w in usable for n, is_there in w.verdicts.items() if is_there})

    def with_enough(self, classes: Sequence[str], group: str | None) -> list[str]:
        """Return the classes without those in few recordings, such as one that was heard once.

        If all are in few, all are returned.
        """
        group_of = _Groups(self.places, self.archive, group)
        parts: dict[str, set[str]] = {name: set() for name in classes}
        for window in self.windows.values():
            for name in classes:
                if window.verdicts.get(name) and not window.is_contradicted:
                    parts[name].add(group_of(window.recording))
        few = [name for name in classes if len(parts[name]) < LEAST_PARTS]
        if len(few) == len(classes):
            return list(classes)
        for name in few:
            found = amount(len(parts[name]), group or "recording")
            self.notes.append(
                f"no class of its own: {name!r}, which was found in {found} only. Training needs"
                f" {LEAST_PARTS}."
            )
        return [name for name in classes if name not in few]

    def separator(self, classes: Sequence[str]) -> str | None:
        """Return the text between the classes of a window if some window has several."""
        own = (sum(w.verdicts.get(name, False) for name in classes) for w in self.windows.values())
        if max(own, default=0) < 2:
            return None
        return next(x for x in SEPARATORS if not any(x in name for name in classes))

    def clips(self, classes: Sequence[str], separator: str | None, group: str | None) -> list[Clip]:
        """Return the clips, by recording and time; what is left out gets a note."""
        other = "" if separator else next(name for name in OTHER if name not in classes)
        group_of = _Groups(self.places, self.archive, group)
        clips, unsure = list[Clip](), list[str]()
        order = sorted(self.windows.items(), key=lambda item: (item[0][0], item[0][1]))
        for _, window in order:
            present = [name for name in classes if window.verdicts.get(name)]
            if window.is_contradicted:
                self.contradicted.append(window.name)
                continue
            if not present and any(window.verdicts.get(name) is None for name in classes):
                if window.verdicts:
                    unsure.append(window.name)
                continue
            label = (separator or "").join(present) if present else other
            clips.append(_clip(window, label, group_of(window.recording)))
        clips = self._without_few(clips, other, group)
        asked = f"nobody was asked about all of the classes {listed(classes)}"
        self.notes += [
            *left_out("answers contradict each other", self.contradicted),
            *left_out("the recording is gone or is not in the archive", list(self.gone)),
            *left_out(HAS_CHANGED, list(self.changed)),
            *left_out(f"{asked}, so another may be there", unsure),
        ]
        return clips

    def _without_few(self, clips: list[Clip], other: str, group: str | None) -> list[Clip]:
        """Leave out the windows without a class if there are several classes and few such windows.

        With several classes, a window must have been refused for all of them, which may be rare.
        """
        rest = [clip for clip in clips if clip.label != other]
        parts = {clip.group for clip in clips if clip.label == other}
        n_classes = len({clip.label for clip in rest})
        if n_classes < 2 or len(parts) >= LEAST_PARTS:
            return clips
        what = "recording" if group is None else group
        self.notes.append(
            f"windows without a class are not used: a window was refused for every class in"
            f" {amount(len(parts), what)}, and training needs {LEAST_PARTS}. Every sound then gets"
            " one of the classes; ask about the same windows for each class."
        )
        return rest


def _clip(window: _Window, label: str, group: str) -> Clip:
    place = window.recording.place
    path = place if is_uri(place) else Path(place)
    return Clip(path, label, window.start, window.end, group)  # type: ignore[arg-type]


class _Groups:
    """The group of a recording: itself, or the value of one of its columns."""

    def __init__(self, places: _Places, archive: Path, column: str | None) -> None:
        self.archive, self.column, self.has_datasets = archive, column, places.n_datasets > 1
        if column is not None:
            check_column(column, places.all)

    def __call__(self, recording: ArchiveRecording) -> str:
        if self.column is None:
            return f"{recording.dataset}: {recording.path}" if self.has_datasets else recording.path
        value = cell_of(recording, self.column).strip()
        if not value:
            raise DataError(
                f"{recording.place} has no {self.column}. Fill in the column in the table of the"
                " recordings, run `earmark index` again with --table, or leave --group out."
            )
        return value


def names_of(decision: Decision) -> list[str]:
    """Return the classes that a decision may say something about."""
    names = (decision.suggested, decision.label, decision.word)
    return [name for name in dict.fromkeys(names) if name]


def _check_enough(archive: str | Path, clips: Sequence[Clip], separator: str | None) -> None:
    """Refuse labels that cannot be trained on, and say which labels are missing."""
    groups: dict[str, set[str]] = {}
    for clip in clips:
        for name in clip.label.split(separator) if separator and clip.label else [clip.label]:
            groups.setdefault(name or "", set()).add(clip.group or "")
    names = sorted(groups)
    real = [name for name in names if name not in ("", *OTHER)] or ["NAME"]

    def command_for(name: str) -> str:
        asked = name if name in real else real[0]
        return f"`earmark label {archive} --class {shlex.quote(asked)}`"

    if len(names) < 2:
        raise DataError(
            f"all labelled windows of {archive} have the class {names[0]!r}, and nothing to compare"
            f" it with. Refuse some windows, too: go on with {command_for(names[0])}."
        )
    for name in names:
        if len(groups[name]) < LEAST_PARTS:
            what = f"windows of {name!r}" if name else "windows without a class"
            raise DataError(
                f"{archive} has labelled {what} in {amount(len(groups[name]), 'group')} only,"
                f" and training needs {LEAST_PARTS}: to test, to select by and to train on. Label"
                f" windows of other recordings with {command_for(name)}."
            )


def joined(clips: Sequence[Clip]) -> list[Clip]:
    """Return the clips; stretches of a recording with the same label that touch become one."""
    merged: list[Clip] = []
    last: dict[tuple[str, str | None], int] = {}
    for clip in sorted(clips, key=lambda clip: (clip.place, clip.start or 0.0)):
        number = last.get((clip.place, clip.label))
        if number is not None:
            before = merged[number]
            if before.end is not None and clip.end is not None and clip.key[1] <= before.end:
                merged[number] = replace(before, end=max(before.end, clip.end))
                continue
        last[clip.place, clip.label] = len(merged)
        merged.append(clip)
    return merged
