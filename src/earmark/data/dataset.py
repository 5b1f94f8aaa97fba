"""A dataset: clips with labels, read from folders, manifests and other sources, and checked."""

from __future__ import annotations

import csv
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from earmark.audio.options import AS_IT_IS, AudioOptions
from earmark.data import dataframes, embedded, huggingface
from earmark.data.annotations import SUFFIX, as_detections, is_track, read_folder, read_track
from earmark.data.clip import COLUMNS, Clip, split_label
from earmark.data.folders import (
    absent,
    entries,
    find_clips,
    folder_clips,
    manifest_hint,
    near_path,
)
from earmark.data.parts import (
    audio_of,
    is_folder_of_parts,
    read_settings,
    separator_of,
    table_of_parts,
)
from earmark.data.remote import clip_elsewhere, place_from
from earmark.data.rows import clips_of
from earmark.data.split_words import SplitMap, changed_since_0_1, is_held_out
from earmark.data.tables import MANIFEST_SUFFIXES, Table, read_table
from earmark.errors import DataError, amount
from earmark.system.files import not_a_file, whole_file
from earmark.system.objects import is_uri

ARCHIVE_FILE = "archive.sqlite"  # in a folder that ``earmark index`` wrote
FOLDER_MANIFEST = "earmark.csv"  # in a folder: its labels, whatever else is there


@dataclass(frozen=True)
class Dataset:
    """Clips with labels, in a fixed order.

    Attributes
    ----------
    clips : tuple of Clip
        The clips.
    source : str
        Where they came from, for people to read.
    separator : str or None
        The text between the classes in a label, if clips may have several.
    audio : AudioOptions
        How the recordings are read, in training and in every use of the classifier.
    origin : dict
        The arguments of :meth:`read`, to read the data again; empty if it did not come from a path.
    notes : tuple of str
        How the data was understood if that is not obvious, and what differs from earmark 0.1.
    """

    clips: tuple[Clip, ...]
    source: str = field(compare=False)
    separator: str | None = None
    audio: AudioOptions = AS_IT_IS
    origin: dict[str, str | None] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        clips, classes = amount(len(self), "clip"), amount(len(self.labels), "class")
        return f"<Dataset: {clips}, {classes}, from {self.source!r}>"

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    @property
    def labels(self) -> list[str]:
        """The distinct classes, sorted."""
        return sorted({name for names in self._classes.values() for name in names})

    def classes(self, clip: Clip) -> tuple[str, ...]:
        """Return the classes of one clip; none if it has no label."""
        return self._classes[clip.label] if clip.label in self._classes else self._split(clip.label)

    @functools.cached_property
    def _classes(self) -> dict[str | None, tuple[str, ...]]:
        """The classes in each distinct label; there are far fewer labels than clips."""
        return {label: self._split(label) for label in {clip.label for clip in self.clips}}

    def _split(self, label: str | None) -> tuple[str, ...]:
        return () if label is None else split_label(label, self.separator)

    @property
    def is_single(self) -> bool:
        """Whether each clip has exactly one class."""
        return self.separator is None or all(len(names) == 1 for names in self._classes.values())

    @classmethod
    def read(
        cls,
        data: object,
        *,
        label: str = "label",
        group: str | None = None,
        fold: str | None = None,
        split: str | None = None,
        path: str = "path",
        start: str | None = None,
        end: str | None = None,
        split_map: str | Mapping[str, str] | None = None,
        separator: str | None = None,
        root: str | Path | None = None,
        audio: AudioOptions = AS_IT_IS,
        need_labels: bool = True,
        least_classes: int = 2,
        is_list: bool = False,
        allow_remote: bool = False,
    ) -> Dataset:
        """Read clips from a folder, a manifest, a frame or another table; paths become absolute.

        Parameters
        ----------
        data : str, Path or object
            One of:

            - A folder with a file ``earmark.csv``, which is its manifest.
            - A folder of parts, as ``earmark embed -o DIR`` writes it. Its recordings may be
              elsewhere; training reads the embeddings.
            - A folder with one sub-folder per class. All levels are searched, and files whose names
              cannot be recordings are skipped (see ``folders.is_recording``). Sub-folders named
              train, test, fold1 ... are splits and folds (see ``layout``).
            - A manifest: a .csv (comma, semicolon or tab), .tsv, .jsonl, .ndjson, .json (lines or
              one array) or .parquet file with the columns ``path``, ``label`` and perhaps
              ``start``, ``end``, ``group``, ``fold``, ``split``. Other columns are ignored.
            - A frame with these columns, of pandas, polars, pyarrow or another library that
              narwhals supports.
            - A data set of Hugging Face's ``datasets``, or a folder that it saved.
            - A label track of Audacity or a selection table of Raven (.txt), or a folder of
              recordings with one beside each.
        label, group, fold, split, path, start, end : str, optional
            Names of columns to use instead of these. ``start`` and ``end`` are in seconds.
        split_map : str or mapping, optional
            The meaning of split names other than train, test, validation ...:
            ``"gold=test,rest=train"``. "none" means that nothing is a split.
        separator : str, optional
            The text between the classes in a label. With it, or if labels are lists, a clip may
            have several classes, or none if its label is empty.
        root : str or Path, optional
            The folder that relative paths start from; by default that of the manifest, and the
            current folder for a frame.
        audio : AudioOptions
            How the recordings are read.
        need_labels : bool
            Whether every clip must have a label. If not, recordings beside class folders are read
            too, without a label.
        least_classes : int
            The least number of classes, if labels are needed.
        is_list : bool
            Whether the clips are only to be predicted; then rows may repeat, and recordings may be
            missing.
        allow_remote : bool
            Whether recordings that the data names by a URI may be fetched from there.

        Returns
        -------
        Dataset
            The clips. Those of the split test, validation or dev (see ``split_words.HELD_OUT``)
            are held out from training.

        Raises
        ------
        DataError
            If something is missing, empty, doubtful or contradictory.

        Examples
        --------
        >>> import earmark
        >>> from earmark.data import example
        >>> data = earmark.Dataset.read(example())
        >>> len(data), len(data.labels)
        (120, 10)
        """
        options = {"path": None if path == "path" else path, "start": start, "end": end}
        options |= {"label": None if label == "label" else label, "group": group, "fold": fold}
        options["split"] = split
        names = {*COLUMNS, *(name for name in options.values() if name)}
        splits = SplitMap.parse(split_map)
        origin: dict[str, str | None] = {}
        if isinstance(data, str) and not data.strip():
            raise DataError("the name of the data is empty. Give a folder or a manifest.")
        if isinstance(data, (str, Path)):
            origin = _origin(data, label, separator, root, splits, options)
            data = Path(os.path.abspath(data))
            table = table_at(data, names, label, root, need_labels, path)
            if table is not None and table.is_embedded:
                settings = read_settings(data)
                audio, separator = audio_of(settings, audio), separator or separator_of(settings)
        else:
            table = dataframes.read_object(data, names, root, path)
        source = str(data) if table is None else table.name
        if table is not None:
            how: dict[str, bool] = {"need_labels": need_labels, "is_list": is_list}
            how["allow_remote"] = allow_remote
            clips, separator, notes = clips_of(
                table, options, separator=separator, split_map=splits, **how
            )
        elif any(options.values()) or root is not None:
            raise DataError(
                f"{source} is a folder and has no columns. Leave out the names of columns and the"
                " root, or give a manifest."
            )
        else:
            clips, notes = folder_clips(Path(source), need_labels, splits)
        change = changed_since_0_1(clip.split for clip in clips) if table is not None else None
        notes += [change] if change else []
        dataset = cls(tuple(clips), source, separator, audio, origin, tuple(notes))
        if need_labels and len(dataset.labels) < least_classes:
            raise _too_few_classes(dataset, least_classes)
        return dataset

    def to_test(self) -> Dataset:
        """Return the clips that a split holds out, or all clips if there is no such split."""
        held_out = tuple(clip for clip in self.clips if is_held_out(clip.split))
        return replace(self, clips=held_out) if held_out else self

    def to_manifest(
        self, path: str | Path, more: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Write a .csv that reads back to an equal dataset, completely or not at all.

        Paths are relative to its folder if possible. Columns without values are left out. ``more``
        has further columns, with one cell per clip. Raises DataError if it cannot be written.
        """
        path = Path(os.path.abspath(path))
        if path.suffix.lower() != ".csv":
            raise DataError(f"{path} is not the name of a .csv. Give a name that ends in .csv.")
        names = [name for name in COLUMNS if any(getattr(clip, name) is not None for clip in self)]
        keeping = "surrogateescape"  # names of files that are not UTF-8
        try:
            with (
                whole_file(path) as part,
                part.open("w", encoding="utf-8", errors=keeping, newline="") as file,
            ):
                out = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)  # protects blanks at the edges
                out.writerow([*names, *(more or ())])
                for number, clip in enumerate(self):
                    cells = {name: getattr(clip, name) for name in names}
                    cells["path"] = place_from(clip, path.parent)
                    row = ["" if cells[name] is None else cells[name] for name in names]
                    out.writerow([*row, *(column[number] for column in (more or {}).values())])
        except (OSError, UnicodeEncodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise DataError(f"cannot write {path}: {why}. Choose another place.") from error


DataLike = object  # a Dataset, or anything that ``Dataset.read`` accepts


def as_dataset(
    data: DataLike,
    *,
    separator: str | None = None,
    need_labels: bool = True,
    least_classes: int = 2,
) -> Dataset:
    """Return ``data`` if it is a Dataset, else read it with :meth:`Dataset.read`."""
    if isinstance(data, Dataset):
        return data
    return Dataset.read(
        data, separator=separator, need_labels=need_labels, least_classes=least_classes
    )


def example() -> Path:
    """Return the path of the manifest of the 120 example recordings that earmark ships."""
    return Path(__file__).parents[1] / "example" / "manifest.csv"


def listed(manifest: str | Path, allow_remote: bool = False, **columns: str | None) -> Dataset:
    """Read a manifest whose clips are only to be predicted; ``columns`` as for ``read``."""
    how = {"need_labels": False, "is_list": True, "allow_remote": allow_remote}
    return Dataset.read(manifest, **how, **columns)  # type: ignore[arg-type]


def own_manifest(folder: Path) -> Path | None:
    """Return the manifest that stands for all that is in a folder, if there is one."""
    manifest = folder / FOLDER_MANIFEST
    return manifest if os.path.lexists(manifest) else None


def answerable(
    inputs: Sequence[str | Path], allow_remote: bool = False, **columns: str | None
) -> tuple[list[Clip], dict[str, None]]:
    """Return the clips of files, folders and manifests, and notes on how they were understood.

    A URI is a recording, too. With ``allow_remote``, URIs may be fetched.

    If there are several inputs, one that cannot be read becomes a clip that cannot be read, and the
    others are still read.
    """
    clips: list[Clip] = []
    notes: dict[str, None] = {}
    for path in inputs:
        if is_uri(str(path)):
            clips.append(clip_elsewhere(str(path), allow_remote))
            continue
        if not is_listed(path):
            clips += find_clips([path])
            continue
        try:
            data = listed(path, allow_remote, **columns)
        except DataError as error:
            if len(inputs) == 1:
                raise
            clips.append(absent(path, error))
            continue
        clips += data.clips
        notes |= dict.fromkeys(data.notes)
    return clips, notes


def is_listed(path: str | Path) -> bool:
    """Return whether a file is a manifest or label track, by its suffix or first line."""
    path = Path(path)
    return path.is_file() and (path.suffix.lower() in MANIFEST_SUFFIXES or is_track(path))


def _too_few_classes(dataset: Dataset, least: int) -> DataError:
    have = ", ".join(["only one class", *map(repr, dataset.labels)])
    return DataError(
        f"{dataset.source} has {have if dataset.labels else 'no class'}. Give at least"
        f" {'two' if least == 2 else 'one'}.{manifest_hint(Path(dataset.source))}"
    )


def _origin(
    data: str | Path,
    label: str,
    separator: str | None,
    root: str | Path | None,
    split_map: SplitMap,
    options: Mapping[str, str | None],
) -> dict[str, str | None]:
    """Return the arguments to read the data again; those that 0.1 lacked only if set."""
    origin: dict[str, str | None] = {"data": str(data), "label": label}
    origin |= {name: options[name] for name in ("group", "fold")}
    origin |= {"separator": separator, "root": None if root is None else str(root)}
    origin |= {name: options[name] for name in ("path", "start", "end", "split") if options[name]}
    return origin | ({"split_map": str(split_map)} if str(split_map) else {})


def table_at(
    data: Path,
    names: set[str],
    label: str,
    root: str | Path | None,
    need_labels: bool,
    path: str = "path",
) -> Table | None:
    """Return the table at the path ``data``; None for a folder of class folders."""
    if not data.is_dir() and (problem := not_a_file(data)):
        raise DataError(f"{data} {problem}. Give a folder or a manifest.")
    if not os.path.exists(data):
        raise DataError(f"{data} does not exist.{near_path(data)} Give a folder or a manifest.")
    if data.is_dir():
        if is_folder_of_parts(data):
            return table_of_parts(data, None if root is None else Path(os.path.abspath(root)))
        if (data / ARCHIVE_FILE).is_file():
            raise DataError(
                f"{data} is an archive, and its labels are about windows. Read them with"
                " earmark.labelling.labelled_dataset, or give a manifest of recordings."
            )
        if manifest := own_manifest(data):
            start = data if root is None else Path(os.path.abspath(root))
            table = read_table(manifest, names, start)
            note = f"labels are those of {manifest}; folders and label tracks are not read"
            return replace(table, notes=(note, *table.notes))
        if huggingface.is_saved(data):
            table = dataframes.read_object(huggingface.load_saved(data), names, root, path)
            return replace(table, name=str(data))
        return read_folder(data, entries(data), label) if need_labels else None
    folder = None if root is None else Path(os.path.abspath(root))
    if data.suffix.lower() == SUFFIX:
        return read_track(data, label, folder=folder, need_labels=need_labels)
    table = read_table(data, names, folder)
    detections = as_detections(data, table, label, path)
    return detections or embedded.with_recordings(table, path)
