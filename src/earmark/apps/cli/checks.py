"""Checks of arguments that run before slow imports and long computations."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from earmark.backbones.registry import check_several, split_names
from earmark.errors import EarmarkError, ModelError
from earmark.system.files import not_a_file

REPORT_FILES = ("answers.csv", "confusion.csv", "summary.json", "report.html")
EVENT_REPORT_FILES = ("events.csv", "thresholds.csv", "summary.json", "report.html")


def check_output(path: Path, *inputs: str | Path) -> None:
    """Refuse a file that cannot be written or is one of ``inputs``.

    Its folder may be missing, but the folder above must exist.
    """
    mode = _mode(path)
    reason = ""
    if mode is not None and not stat.S_ISREG(mode):
        reason = "is a folder" if stat.S_ISDIR(mode) else not_a_file(path) or ""
    elif not path.absolute().parent.parent.is_dir():
        reason = f"needs the folder {path.parent}"
    if reason:
        raise EarmarkError(f"cannot write {path}: it {reason}. Name a file in an existing folder.")
    _check_apart(path, inputs)
    check_folder(path.parent)


def check_model_output(path: Path, *inputs: str | Path) -> None:
    """Refuse a file that cannot be written, or that exists and is not a classifier."""
    check_output(path)
    if path.exists() and not is_classifier(path):
        raise EarmarkError(
            f"{path} already exists and is not a classifier. Name another file with -o."
        )
    _check_apart(path, inputs)


def check_folder(folder: Path | None, *inputs: str | Path) -> None:
    """Refuse a folder that cannot be written or created, or that is an input."""
    if folder is None:
        return
    _mode(folder)
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise EarmarkError(
            f"cannot write into the folder {folder}: {error.strerror}. Name another folder."
        ) from error
    _check_apart(folder, inputs)


def check_place(place: str | None, *inputs: str | Path) -> None:
    """Refuse a place for checkpoints: a folder that cannot be written, or a URI of that kind."""
    if place is None:
        return
    from earmark.system.objects import NAMED, SCHEMES, is_uri, scheme_of

    if not is_uri(place):
        check_folder(Path(place), *inputs)
    elif scheme_of(place) not in SCHEMES or scheme_of(place) in ("http", "https"):
        raise EarmarkError(
            f"--checkpoints is {place}, which cannot be written. Name a folder, or a URI of"
            f" {NAMED.rpartition(', https')[0]}."
        )


def check_report(folder: Path | None, source: str | Path, output: Path | None = None) -> None:
    """Refuse a report's folder that cannot be written, is DATA, or would overwrite ``output``."""
    if folder is None:
        return
    check_folder(folder, source)
    for path in (folder, *(folder / name for name in (*REPORT_FILES, *EVENT_REPORT_FILES))):
        if output is not None and os.path.abspath(path) == os.path.abspath(output):
            raise EarmarkError(f"-o and --report both write {output}. Name two different places.")
        if path != folder and folder.exists():
            check_output(path, source)


def _mode(path: Path) -> int | None:
    """Return the mode (``st_mode``) of ``path``, None if nothing is there; refuse invalid paths."""
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise EarmarkError(f"cannot write {path}: {error.strerror}. Name another file.") from error


def _check_apart(output: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse an output that is one of the inputs."""
    for path in inputs:
        if os.path.exists(path) and os.path.exists(output) and os.path.samefile(path, output):
            raise EarmarkError(
                f"{output} is an input and would be overwritten. Name another output."
            )


def check_model(path: Path) -> None:
    """Refuse a file that is not a classifier."""
    if not is_classifier(path):
        reason = f"{path} does not exist"
        if path.is_file():
            reason = f"{path} is not a classifier, or the file is incomplete"
        elif problem := not_a_file(path):
            reason = f"{path} {problem}"
        raise ModelError(f"{reason}. Give the file that `earmark train` wrote.")


def local_model(model: Path) -> Path:
    """Return the file of a classifier: ``model``, or its copy if it is an address on the Hub.

    Refuses a file that is not a classifier.
    """
    from earmark.classifier.hub_address import parse

    if (address := parse(model)) is not None:
        from earmark.apps.cli.progress import byte_bar
        from earmark.apps.cli.text import say
        from earmark.classifier.hub_files import fetch

        with byte_bar(str(address)) as bar:
            model = fetch(address, bar)
        say(f"note: {address} is {model}")
    check_model(model)
    return model


def check_no_detector(model: Path) -> None:
    """Refuse a detector of events where whole clips are classified."""
    from earmark.classifier.detector import DETECTS

    if "detector" in header_of_model(model):
        raise ModelError(f"{model}: {DETECTS}")


def separator_of(model: Path) -> str | None:
    """Return the separator between classes in the labels that a classifier was trained on, if any.

    Reads only the header; loading the classifier reports what is wrong with the rest.
    """
    from earmark.classifier.file import separator_of

    header = header_of_model(model)
    try:
        return separator_of(header["provenance"], header["calibration"]["is_single"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def header_of_model(model: Path) -> dict[str, Any]:
    """Return the header of a classifier, unchecked; empty if it cannot be read."""
    from safetensors import safe_open

    with safe_open(model, framework="numpy") as file:
        text = file.metadata()["earmark"]
    try:
        header = json.loads(text)
    except (RecursionError, ValueError):
        return {}
    return header if isinstance(header, dict) else {}


def is_classifier(path: Path) -> bool:
    """Return whether a file is a classifier; only its header is read."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return False  # opening a pipe would wait for its writer
    try:
        with safe_open(path, framework="numpy") as file:
            return "earmark" in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def check_share(option: str, share: float | None, example: float) -> None:
    """Refuse a share of 0 or less, or of 1 or more."""
    if share is not None and not 0 < share < 1:
        raise EarmarkError(
            f"{option} is {share:g}. Give a number between 0 and 1, such as {example:g}."
        )


def check_backbones(names: str, *, several: bool = False) -> None:
    """Refuse unknown names of backbones, and a single name with ``several``; allow 'auto'."""
    if names != "auto":
        known = split_names(names)
        if several:
            check_several(known)
