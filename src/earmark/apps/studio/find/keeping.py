"""What was found becomes clips: regions of recordings of the folder, or copies of others."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from earmark.apps.studio.find.finds import Finds
from earmark.apps.studio.folder.folder import Folder, Located
from earmark.apps.studio.folder.uploads import PART_BYTES
from earmark.apps.studio.mistakes import UnknownIdError
from earmark.errors import EarmarkError, amount

Stretch = tuple[str, float, float]  # a recording by its id, start and end in seconds


async def keep(
    folder: Folder, finds: Finds, stretches: Sequence[Stretch], label: str
) -> dict[str, Any]:
    """Make stretches clips of a class; return what :meth:`Folder.label` does.

    Stretches of the folder's recordings become regions. Those of others are copied into it, each as
    a change of its own.
    """
    own, others = await asyncio.to_thread(_parted, folder, finds, stretches)
    answer: dict[str, Any] = {}
    if others:
        answer = await _copied(folder, finds, others, label)
    if own:
        answer = await asyncio.to_thread(folder.add_regions, own, label)
    if own and others:
        answer["said"] += f" {_said(len(others))}"
    return answer


def _parted(
    folder: Folder, finds: Finds, stretches: Sequence[Stretch]
) -> tuple[list[Stretch], list[Located]]:
    """Return the stretches of the folder's own recordings, and where the others are."""
    own, others = [], []
    for id, start, end in stretches:
        try:
            folder.locate(id)
            own.append((id, start, end))
        except UnknownIdError:
            path, _, _, name = finds.locate(id)
            others.append(Located(path, start, end, name))
    return own, others


async def _copied(
    folder: Folder, finds: Finds, stretches: Sequence[Located], label: str
) -> dict[str, Any]:
    place = await asyncio.to_thread(_temporary, folder)
    try:
        answer: dict[str, Any] = {}
        for file in await finds.cut(stretches, place):
            answer = await asyncio.to_thread(_added, folder, file, label)
        return {**answer, "said": _said(len(stretches))}
    except OSError as error:
        raise EarmarkError(
            f"cannot copy what was found: {error.strerror}. Free some space, and try again."
        ) from error
    finally:
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)


def _temporary(folder: Folder) -> Path:
    return Path(tempfile.mkdtemp(dir=folder.ledger.own("cut")))


def _added(folder: Folder, file: Path, label: str) -> dict[str, Any]:
    """Put a file into the folder, as if it had been dropped into the page."""
    about = {"kind": "file", "name": file.name, "bytes": file.stat().st_size, "label": label}
    id, at = folder.begin_upload(about), 0
    try:
        with file.open("rb") as source:
            while part := source.read(PART_BYTES):
                at = folder.append(id, at, part)
        return folder.finish_upload(id)
    except EarmarkError:
        folder.drop_upload(id)
        raise


def _said(count: int) -> str:
    verb = "was" if count == 1 else "were"
    return f"{amount(count, 'clip')} {verb} copied into the folder."
