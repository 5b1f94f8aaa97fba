"""A folder with a web page that uses an exported classifier: no server program, no network."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from earmark.classifier.network_licences import LICENCES
from earmark.classifier.onnx.web_runtime import MEMBERS, fetch_runtime
from earmark.errors import EarmarkError, ModelError
from earmark.system.files import not_a_file
from earmark.system.jsons import json_text
from earmark.system.progress import ByteProgress
from earmark.system.unpacking import remove

PAGE = files("earmark.classifier.onnx") / "page"
INDEX, NOTICES = "index.html", "onnxruntime-web-ThirdPartyNotices.txt"
OURS = b'<meta name="generator" content="earmark web folder">'  # in the page of every such folder
HEAD_BYTES = 4_096
WRITTEN = ("model.onnx", "model.json", LICENCES, NOTICES, *MEMBERS)


def write_web_folder(
    folder: Path,
    model: bytes,
    description: dict[str, Any],
    licences: str,
    progress: ByteProgress | None = None,
) -> None:
    """Write the page, the classifier and ONNX Runtime Web to a folder, whole or not at all.

    An older folder of this kind is replaced. The page needs a web server, such as ``python -m
    http.server``, but no network.

    Parameters
    ----------
    folder : Path
        A path where nothing is yet, an empty folder, or one that this function wrote.
    model : bytes
        The ONNX file of a classifier of clips.
    description : dict
        Its metadata. The page reads it from ``model.json``, which also has the file's SHA-256.
    licences : str
        The licences of the pretrained networks, for ``LICENSES.txt``.
    progress : callable, optional
        Called with the bytes received and expected while the runtime is downloaded.

    Raises
    ------
    ModelError
        The classifier finds events in a stream; the page is for clips.
    EarmarkError
        See :func:`check_web_folder`; or the folder cannot be written.
    WeightsError
        The runtime cannot be had: see :func:`~earmark.classifier.onnx.web_runtime.fetch_runtime`.
    """
    folder = Path(os.path.abspath(folder))
    check_web_folder(folder)
    if description["kind"] != "clips":
        raise ModelError(
            "the web page is for classifiers of clips, and this classifier finds events in a"
            " stream. Leave out --web."
        )
    runtime = fetch_runtime(progress)
    digest = hashlib.sha256(model).hexdigest()
    described = json_text({**description, "file_sha256": digest}, indent=1)
    with _whole_folder(folder) as part:
        for source in PAGE.iterdir():
            (part / source.name).write_bytes(source.read_bytes())
        (part / "model.onnx").write_bytes(model)
        (part / "model.json").write_text(described, encoding="utf-8")
        (part / LICENCES).write_text(licences, encoding="utf-8")
        for source in (*runtime, *_notices()):
            shutil.copyfile(source, part / _name_of(source))


def check_web_folder(folder: Path) -> None:
    """Raise EarmarkError for a folder that :func:`write_web_folder` would refuse to write."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        what = "a link" if folder.is_symlink() else "no folder"
        raise EarmarkError(f"{folder} is {what}. Name a new folder for --web.")
    if not folder.parent.is_dir():
        raise EarmarkError(f"no folder {folder.parent}. Create it, or name another for --web.")
    if not folder.exists() or not (inside := sorted(path.name for path in folder.iterdir())):
        return
    if not _is_ours(folder / INDEX):
        raise EarmarkError(
            f"{folder} has other files, such as {inside[0]!r}. Name a new or empty folder for"
            " --web."
        )
    known = {INDEX, *WRITTEN, *(source.name for source in PAGE.iterdir())}
    if others := [name for name in inside if name not in known]:
        raise EarmarkError(
            f"{folder} has a file that earmark did not write: {others[0]!r}. Move it away, or name"
            " a new folder for --web."
        )


def _is_ours(index: Path) -> bool:
    """Say whether a file is the page of a folder that earmark wrote."""
    if not_a_file(index) or not index.is_file():
        return False
    with index.open("rb") as file:
        return OURS in file.read(HEAD_BYTES)


def _notices() -> list[Path]:
    """Return the notices of the libraries inside the runtime, which its Python package has."""
    found = importlib.util.find_spec("onnxruntime")
    if found is None or not found.origin:
        return []
    path = Path(found.origin).with_name("ThirdPartyNotices.txt")
    return [path] if path.is_file() else []


def _name_of(source: Path) -> str:
    return NOTICES if source.name == "ThirdPartyNotices.txt" else source.name


@contextlib.contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces ``folder`` at the end, or is deleted on an error."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            part, old = Path(temporary) / "new", Path(temporary) / "old"
            part.mkdir()
            yield part
            if folder.exists():
                folder.rename(old)
            try:
                part.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
            remove(old)
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or error
        raise EarmarkError(
            f"cannot write {folder}: {reason}. Free some space, or name another place."
        ) from error
