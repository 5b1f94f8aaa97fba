"""The command line of each action of the page: ``argv`` from the choices that were made.

The page shows these commands, and jobs run them. A client sends names and choices, and never a
path: every path is made here, inside the folder, or was given to the studio when it started.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.apps.studio.folder.names import DEVICES
from earmark.apps.studio.places import (
    ARCHIVES,
    DECISIONS,
    EXPORTS,
    MODEL_SUFFIX,
    MODELS,
    REPORTS,
)
from earmark.errors import EarmarkError, did_you_mean, listed

UNKNOWN = 0.2  # the share of unknown sounds that may still get a class (lab notes, 27 November)
MOST_LETTERS = 80  # of a name; file systems allow 255 bytes with the suffix
MOST_TEXT = 300  # characters of a choice, such as the names of layers
EXPORT_KINDS = ("onnx", "onnx16", "web")

Choices = Mapping[str, Any]
Check = Callable[[str, object], None]


@dataclass(frozen=True)
class _Places:
    """Where a command reads and writes: the ``folder``, a ``place`` for what it hands on."""

    folder: Path
    place: Path
    source: str  # what is predicted
    recordings: Mapping[str, Path]  # folders of long recordings, by name

    def model(self, name: str) -> str:
        return str(self.folder / MODELS / f"{name}{MODEL_SUFFIX}")

    def archive(self, name: str) -> str:
        return str(self.folder / ARCHIVES / name)

    def decisions(self, name: str) -> str:
        return str(self.folder / DECISIONS / f"{name}.csv")


def command(
    folder: Path,
    kind: str,
    choices: Choices,
    *,
    place: Path | None = None,
    source: Path | None = None,
    recordings: Mapping[str, Path] = {},
) -> list[str]:
    """Return the words after ``earmark`` of the command that does an action of the page.

    Parameters
    ----------
    folder : Path
        The folder of the studio; paths in the command are absolute.
    kind : str
        A key of ``KINDS``, such as 'train'.
    choices : mapping
        What was chosen; only the names that the kind knows, with values of the right type.
    place : Path, optional
        Where 'fix' and 'apply' write their manifest; by default the folder itself.
    source : Path, optional
        The recording that 'predict' and 'detect' read; by default the whole folder.
    recordings : mapping of str to Path, optional
        The folders that 'index' can read besides the own one, by their names.

    Returns
    -------
    list of str

    Raises
    ------
    EarmarkError
        The kind or a choice is unknown, or a value is impossible.
    """
    if kind not in KINDS:
        raise EarmarkError(f"no command {kind!r}.{did_you_mean(kind, list(KINDS))}")
    folder = folder.absolute()
    known, words = KINDS[kind]
    given = {name: value for name, value in choices.items() if value is not None}
    for name, value in given.items():
        if name not in known:
            raise EarmarkError(f"{kind} has no choice {name!r}. Choose of {listed(list(known))}.")
        known[name](name, value)
    return words(_Places(folder, place or folder, str(source or folder), recordings), given)


def command_text(argv: list[str]) -> str:
    """Return a command as a person types it in a shell, with ``earmark`` before it."""
    return shlex.join(["earmark", *argv])


def shown_command(folder: Path, kind: str, choices: Choices, recordings: Mapping[str, Path]) -> str:
    """Return the command that does the same as an action of the page; see :func:`command`."""
    return command_text(command(folder, kind, choices, recordings=recordings))


def check_file_name(what: str, value: object) -> None:
    """Refuse a name that cannot be that of a file on every system.

    Letters of any script, digits, blanks and a few signs are allowed.
    """
    is_text = isinstance(value, str) and len(value) <= MOST_LETTERS
    if not is_text or not re.fullmatch(r"\w(?:[\w .()+-]*[\w)+])?", str(value)):
        raise EarmarkError(
            f"the name {str(value)[:MOST_LETTERS]!r} cannot be used for a {what}. Use letters,"
            f" digits, blanks or - _ . ( ) +, at most {MOST_LETTERS} characters."
        )
    if DEVICES.fullmatch(str(value)):
        raise EarmarkError(f"Windows keeps the name {value!r} for itself. Choose another name.")


def _file_name(name: str, value: object) -> None:
    check_file_name("file", value)


def _model_name(name: str, value: object) -> None:
    """Refuse what cannot be the name of a file that lies in the folder of classifiers."""
    is_text = isinstance(value, str) and 0 < len(value) <= MOST_TEXT and value.isprintable()
    if not is_text or str(value).startswith(".") or re.search(r"[/\\]", str(value)):
        raise EarmarkError(f"there is no classifier {str(value)[:MOST_TEXT]!r}. Choose one.")


def _flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise EarmarkError(f"{name} is {value!r}. Give true or false.")


def _text(name: str, value: object) -> None:
    """Refuse what is no option's value: control characters, and an option itself."""
    is_text = isinstance(value, str) and len(value.strip()) > 0 and len(value) <= MOST_TEXT
    if not is_text or not str(value).isprintable() or str(value).startswith("-"):
        raise EarmarkError(f"{name} is {str(value)[:MOST_TEXT]!r}. Give a short text.")


def _count(least: int) -> Check:
    def check(name: str, value: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**31:
            raise EarmarkError(f"{name} is {value!r}. Give a whole number from {least}.")

    return check


def _share(name: str, value: object) -> None:
    if not isinstance(value, float) or not 0 < value < 1:
        raise EarmarkError(f"{name} is {value!r}. Give a number between 0 and 1.")


def _flag_or_share(name: str, value: object) -> None:
    if not isinstance(value, bool):
        _share(name, value)


def _one_of(*words: str) -> Check:
    def check(name: str, value: object) -> None:
        if value not in words:
            raise EarmarkError(f"{name} is {value!r}. Give {listed(words)}.")

    return check


def _texts(name: str, value: object) -> None:
    if not isinstance(value, list) or not value:
        raise EarmarkError(f"{name} is {value!r}. Give a list of names.")
    for text in value:
        _text(name, text)


def _options(choices: Choices, *names: str) -> list[str]:
    """Return options with a value for the ``names`` that were chosen, but not for 'auto'."""
    words = []
    for name in names:
        if choices.get(name, "auto") != "auto":
            words += [f"--{name.replace('_', '-')}", f"{choices[name]}"]
    return words


def _flags(choices: Choices, *names: str) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name in names if choices.get(name)]


def _needed(choices: Choices, name: str, what: str) -> str:
    if name not in choices:
        raise EarmarkError(f"{what} is missing. Choose one.")
    return str(choices[name])


def _doctor(places: _Places, choices: Choices) -> list[str]:
    group = _options(choices, "group")
    return ["doctor", str(places.folder), *_flags(choices, "quick"), *group]


def _fix(places: _Places, choices: Choices) -> list[str]:
    kinds = [word for kind in choices.get("kinds", ()) for word in ("--only", kind)]
    output = ["-o", str(places.place / "fixed.csv")]
    return [*_doctor(places, choices), "--fix", *kinds, *output]


def _train(places: _Places, choices: Choices) -> list[str]:
    name = _needed(choices, "name", "the name of the classifier")
    archive = choices.get("archive")
    source = str(places.folder) if archive is None else places.archive(archive)
    words = ["train", source, "-o", places.model(name)]
    words += ["--report", str(places.folder / REPORTS / name)]
    words += _options(choices, "backbone", "head", "layers", "group", "folds")
    unknown = choices.get("unknown", "finetune" not in choices)
    if unknown and "finetune" in choices:
        raise EarmarkError(
            "fine-tuning changes the network, and the answer 'unknown' needs it as it is. Switch"
            " one of them off."
        )
    if unknown:
        words += ["--unknown", f"{UNKNOWN if unknown is True else unknown:g}"]
    words += _options(choices, "finetune", "seed")
    return words + _flags(choices, "no_compare", "detector")


def _review(places: _Places, choices: Choices) -> list[str]:
    output = ["-o", places.decisions(choices.get("name") or free_name(places.folder))]
    if "model" in choices:
        return ["review", places.model(choices["model"]), *output, *_options(choices, "top")]
    options = _options(choices, "backbone", "head", "layers", "group", "folds", "top", "seed")
    return ["review", str(places.folder), *output, *options]


def _apply(places: _Places, choices: Choices) -> list[str]:
    decisions = places.decisions(_needed(choices, "name", "the name of the review"))
    output = str(places.place / "corrected.csv")
    return ["review", str(places.folder), "--apply", decisions, "-o", output]


def _export(places: _Places, choices: Choices) -> list[str]:
    name = _needed(choices, "model", "the classifier")
    form, folder = choices.get("to", "onnx"), places.folder / EXPORTS
    words = ["export", places.model(name)]
    if form == "web":
        return [*words, "--web", str(folder / f"{name}-web")]
    if form == "onnx16":
        return [*words, "-o", str(folder / f"{name}-float16.onnx"), "--precision", "float16"]
    return [*words, "-o", str(folder / f"{name}.onnx")]


def _push(places: _Places, choices: Choices) -> list[str]:
    words = ["push", places.model(_needed(choices, "model", "the classifier"))]
    repo = _needed(choices, "repo", "the name of the repository")
    return [*words, repo, *_options(choices, "licence"), *_flags(choices, "public")]


def _of_model(word: str, *options: str) -> Callable[[_Places, Choices], list[str]]:
    """Return what makes a command that a classifier and what it reads follow."""

    def words(places: _Places, choices: Choices) -> list[str]:
        model = places.model(_needed(choices, "model", "the classifier"))
        read = "mic" if word == "stream" else places.source
        return [word, model, read, *_options(choices, *options)]

    return words


def _fetch(places: _Places, choices: Choices) -> list[str]:
    return ["backbones", "fetch", _needed(choices, "name", "the network")]


def _index(places: _Places, choices: Choices) -> list[str]:
    name, source = _needed(choices, "name", "the name of the archive"), choices.get("source")
    if source is not None and source not in places.recordings:
        raise EarmarkError(
            f"the studio may not read {source!r}. Start it with --recordings FOLDER to allow that."
        )
    read = str(places.folder if source is None else places.recordings[source])
    return ["index", read, "-o", places.archive(name), *_options(choices, "backbone")]


def _label(places: _Places, choices: Choices) -> list[str]:
    archive = places.archive(_needed(choices, "archive", "the archive"))
    return ["label", archive, "--class", _needed(choices, "name", "the name of the class")]


def _studio(places: _Places, choices: Choices) -> list[str]:
    return ["studio", str(places.folder)]


_fitting: dict[str, Check] = {"backbone": _text, "head": _text, "layers": _text, "group": _text}
_fitting |= {"folds": _count(2), "seed": _count(0)}
_model: dict[str, Check] = {"model": _model_name}
KINDS: dict[str, tuple[dict[str, Check], Callable[[_Places, Choices], list[str]]]] = {
    "doctor": ({"quick": _flag, "group": _text}, _doctor),
    "fix": ({"kinds": _texts, "quick": _flag, "group": _text}, _fix),
    "train": (
        {"name": _file_name, **_fitting, "unknown": _flag_or_share, "finetune": _text}
        | {"no_compare": _flag, "detector": _flag, "archive": _file_name},
        _train,
    ),
    "review": ({"name": _file_name, **_model, **_fitting, "top": _count(1)}, _review),
    "apply": ({"name": _file_name}, _apply),
    "export": ({**_model, "to": _one_of(*EXPORT_KINDS)}, _export),
    "push": ({**_model, "repo": _text, "public": _flag, "licence": _text}, _push),
    "predict": (_model, _of_model("predict")),
    "detect": ({**_model, "threshold": _share}, _of_model("detect", "threshold")),
    "stream": ({**_model, "threshold": _share}, _of_model("stream", "threshold")),
    "fetch": ({"name": _text}, _fetch),
    "index": ({"name": _file_name, "source": _text, "backbone": _text}, _index),
    "label": ({"archive": _file_name, "name": _text}, _label),
    "studio": ({}, _studio),
}


def free_name(folder: Path, word: str = "review", taken: Collection[object] = ()) -> str:
    """Return a name of a decisions file that is neither there nor ``taken``.

    It is 'review', 'review 2', ...
    """
    number = 1
    while True:
        name = word if number == 1 else f"{word} {number}"
        if name not in taken and not (folder / DECISIONS / f"{name}.csv").exists():
            return name
        number += 1
