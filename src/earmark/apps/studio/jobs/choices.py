"""What can be chosen for a training, with good defaults for the data that is there."""

from __future__ import annotations

import collections
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.apps.studio.jobs.networks import automatic, networks
from earmark.apps.studio.places import MANIFEST, MODEL_SUFFIX, MODELS
from earmark.audio.reading import header_of
from earmark.audio.source import FileSource
from earmark.classifier.prediction import UNKNOWN
from earmark.data.dataset import Dataset
from earmark.data.splits import FOLDS, LEAST
from earmark.data.tables import read_table
from earmark.errors import AudioError, DataError, EarmarkError, amount, some

TAKE, GROUP = "take", "group"
_NO_GROUPS = ("path", "start", "end", "label", "fold", "split", GROUP)
MOST_GROUPED = 20  # columns that are looked at
MOST_MEASURED = 50  # recordings whose length is read, to guess the length of all
MOST_UNLIKE = 0.9  # groups for each clip; a column with more of them groups nothing
# Seconds that a training took on two cores, roughly: at its start, for each clip, and what
# comparing takes of the embedding.
START_S, CLIP_S, COMPARED_CLIP_S, COMPARED_SHARE = 3.0, 0.015, 0.005, 0.8

HEADS = {
    "auto": "Try all of them, and keep what does best on sounds that it was not trained on.",
    "linear": "Weigh the features of the network. Hard to beat with few recordings.",
    "logistic": "The same, fitted for good scores. Takes longer.",
    "mlp": "A small network of its own. Needs many recordings.",
    "prototype": "Compare with the average sound of each class. Fine for a handful of them.",
}
LAYERS = ("auto", "last", "all")
TUNINGS = {
    "last:1": "Train the last layer of the network, too.",
    "full": "Train every layer in use, too. The longest.",
    "lora": "Add small matrices to a transformer. Only for wav2vec2.",
}
ABOUT = {
    "unknown": "Answer 'unknown' for sounds that are unlike all classes, such as silence. About one"
    " in 20 of them may still get a class.",
    "compare": "Compare with simple methods and with fewer recordings, so that the report can say"
    " whether the network helps and whether more recordings would.",
    "detector": "Find sounds in long recordings and in live sound, with their start and end,"
    " instead of naming whole clips.",
    "finetune": "Train the network itself, too. It takes minutes to hours, and is kept only if it"
    " pays. Try more recordings first.",
}


@dataclass(frozen=True)
class _Data:
    """The labelled clips of a folder: a mapping of cells each."""

    rows: Sequence[Mapping[str, str]]
    columns: Sequence[str]
    folder: Path

    @classmethod
    def read(cls, folder: Path) -> _Data:
        manifest = folder / MANIFEST
        if not manifest.is_file():
            clips = Dataset.read(folder, least_classes=0)
            rows = [{"path": clip.place, "label": str(clip.label)} for clip in clips]
            return cls(rows, ("path", "label"), folder)
        table = read_table(manifest, {"path", "label", GROUP, TAKE})
        for column in ("path", "label"):
            if column not in table.columns:
                raise DataError(f"{manifest} has no column {column!r}. Add it.")
        names = [name for name in table.columns if name][: len(_NO_GROUPS) + MOST_GROUPED]
        cells = ({n: str(row.get(n) or "").strip() for n in names} for _, row in table.rows)
        return cls([row for row in cells if row.get("label")], names, folder)

    def parts(self, column: str) -> dict[str, int]:
        """Return in how many different cells of ``column`` each class is."""
        found: dict[str, set[str]] = collections.defaultdict(set)
        for row in self.rows:
            found[row["label"]].add(row[column])
        return {label: len(cells) for label, cells in found.items()}

    def seconds(self) -> float:
        """Return about how long all clips are: whole recordings by some of their headers."""
        known, unknown = 0.0, []
        for row in self.rows:
            try:
                known += float(row["end"]) - float(row.get("start") or 0)
            except (KeyError, ValueError):
                unknown.append(row["path"])
        step = max(1, len(unknown) // MOST_MEASURED)
        lengths = [_length_s(self.folder / path) for path in unknown[::step]]
        return known + len(unknown) * sum(lengths) / max(1, len(lengths))


def choices(folder: Path) -> dict[str, Any]:
    """Return what the page for training offers. Reads files, so call it in a thread.

    Returns
    -------
    dict
        ``can_train`` and, if not, ``reason``, a sentence; ``notes``, sentences on the defaults;
        ``defaults``, the choices of a job 'train', of which ``name`` and ``group`` stand beside
        them, too; ``taken``, the names of classifiers; ``automatic``, the networks that 'auto'
        takes, and ``advice`` on better ones; ``backbones`` (see :func:`networks`, each with
        ``minutes``, null for less than half of one); ``heads``, ``layers`` and ``finetunes``, names
        that the options take; ``about``, a sentence on each choice by its name; ``groups``, the
        columns that can keep clips together, each with ``name``, ``n_groups`` and ``what``;
        ``no_groups``, those that cannot, each with ``name`` and ``reason``; ``impossible``, why
        'unknown' or 'finetune' cannot be chosen; and ``seconds``, a guess for the defaults.

    Raises
    ------
    EarmarkError
        The manifest cannot be read, or the networks cannot be listed.
    """
    data, reason = _read(folder)
    names, advice = automatic()
    reason = reason or (None if names else advice)
    groups = [_group(data, name) for name in data.columns if name not in _NO_GROUPS]
    impossible = {"unknown": _no_unknown(data), "finetune": _no_tuning()}
    defaults: dict[str, Any] = {"name": free_model_name(folder), "backbone": "auto"}
    defaults |= {"head": "auto", "unknown": impossible["unknown"] is None}
    notes: list[str] = []
    if reason is None:
        _divide(data, groups, defaults, notes)
    seconds, n_clips = data.seconds(), len(data.rows)
    rows = [row | {"minutes": _minutes(seconds / row["speed"])} for row in networks()]
    embed_s = sum(seconds / row["speed"] for row in rows if row["name"] in names)
    compare_s = COMPARED_SHARE * embed_s + COMPARED_CLIP_S * n_clips
    return {
        "can_train": reason is None,
        "reason": reason,
        "notes": notes,
        "defaults": defaults,
        "name": defaults["name"],
        "group": defaults.get(GROUP),
        "taken": sorted(path.stem for path in (folder / MODELS).glob(f"*{MODEL_SUFFIX}")),
        "automatic": names,
        "advice": advice or None,
        "backbones": rows,
        "heads": list(HEADS),
        "layers": list(LAYERS),
        "finetunes": list(TUNINGS),
        "about": {**HEADS, **TUNINGS, **ABOUT},
        "groups": [group for group in groups if "reason" not in group],
        "no_groups": [group for group in groups if "reason" in group],
        "impossible": {name: why for name, why in impossible.items() if why},
        "seconds": round(START_S + embed_s + CLIP_S * n_clips + compare_s),
    }


def _read(folder: Path) -> tuple[_Data, str | None]:
    """Return the labelled clips, and why nothing can be trained on them, or None."""
    try:
        data = _Data.read(folder)
    except EarmarkError as error:
        return _Data((), (), folder), str(error)
    return data, _why_not(data)


def free_model_name(folder: Path, word: str = "classifier") -> str:
    """Return a name that no classifier has yet: 'classifier', 'classifier 2', ..."""
    number = 1
    while True:
        name = word if number == 1 else f"{word} {number}"
        if not (folder / MODELS / f"{name}{MODEL_SUFFIX}").exists():
            return name
        number += 1


def _why_not(data: _Data) -> str | None:
    """Return why nothing can be trained on the data; None if it can."""
    recordings = data.parts("path") if data.rows else {}
    if len(recordings) < 2:
        which = f"There is only the class {next(iter(recordings))!r}." if recordings else ""
        return f"{which or 'Nothing is labelled yet.'} Training needs at least two classes."
    few = {label: n for label, n in recordings.items() if n < LEAST}
    if not few:
        return None
    label, number = min(few.items(), key=lambda pair: pair[1])
    others = [other for other in few if other != label]
    also = f" The same holds for {some(others)}." if others else ""
    return (
        f"{label!r} has only {amount(number, 'recording')}, and training needs at least {LEAST} of"
        f" each class. Record more, or leave the class out.{also}"
    )


def _no_unknown(data: _Data) -> str | None:
    """Return why 'unknown' cannot be answered; None if it can."""
    labels = {row["label"] for row in data.rows}
    reserved = [label for label in labels if label.casefold() == UNKNOWN]
    if reserved:
        return f"The class {reserved[0]!r} has the name of this answer. Rename the class first."
    if len(labels) < 3:
        return "It needs at least 3 classes, because it is tested by leaving out each in turn."
    return None


def _no_tuning() -> str | None:
    missing = [n for n in ("accelerate", "peft") if importlib.util.find_spec(n) is None]
    return f"It needs the package {missing[0]}, which is not installed." if missing else None


def _divide(
    data: _Data, groups: Sequence[Mapping[str, Any]], defaults: dict[str, Any], notes: list[str]
) -> None:
    """Choose groups or fewer folds, and say why."""
    if GROUP in data.columns and all(row[GROUP] for row in data.rows):
        notes.append("Clips of one group stay together: the labels have a column 'group'.")
        return
    takes = next((group for group in groups if group["name"] == TAKE), None)
    if takes is not None and "reason" not in takes:
        defaults[GROUP] = TAKE
        notes.append(
            "What was recorded in one go stays together, so that each test is on another take."
        )
        return
    if takes is not None:
        notes.append(
            f"{takes['reason']} So pieces of one take are both trained on and tested, and the"
            " figures will be too good. Record each sound in two takes or more."
        )
    recordings = data.parts("path")
    fewest = min(recordings.values())
    if fewest < FOLDS:
        label = min(recordings, key=lambda name: recordings[name])
        defaults["folds"] = fewest
        notes.append(
            f"The data is tested in {fewest} parts instead of {FOLDS}, because {label!r} has only"
            f" {amount(fewest, 'recording')}."
        )


def _group(data: _Data, name: str) -> dict[str, Any]:
    """Return a column that can keep clips together, or the reason why it cannot."""
    empty = sum(not row[name] for row in data.rows)
    number = len({row[name] for row in data.rows if row[name]})
    alone = [label for label, n in data.parts(name).items() if n < 2] if not empty else []
    reason = None
    if empty:
        have = "has" if empty == 1 else "have"
        reason = f"{amount(empty, 'clip')} {have} no {name}."
    elif number < 2:
        reason = f"All clips have the same {name}."
    elif alone:
        each = "Each of " if len(alone) > 1 else ""
        reason = f"{each}{some(alone)} has only one {name}."
    elif number > MOST_UNLIKE * len(data.rows):
        reason = f"Nearly every clip has a {name} of its own."
    if reason is not None:
        return {"name": name, "reason": reason}
    what = f"Clips with the same {name} stay together when the classifier is tested."
    if name == TAKE:
        what = "Pieces that were recorded in one go stay together when it is tested."
    return {"name": name, "n_groups": number, "what": what}


def _minutes(seconds: float) -> float | None:
    return round(seconds / 60, 1) if seconds >= 30 else None


def _length_s(path: Path) -> float:
    """Return the length of a recording by its header; 0 if it cannot be read."""
    try:
        header = header_of(FileSource(path))
    except (AudioError, OSError):
        return 0.0
    return header.frames / header.rate_hz
