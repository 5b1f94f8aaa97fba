"""Find: the archives of the folder, searches by example, and keeping what was found."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from earmark.apps.service.problems import ProblemError
from earmark.apps.studio import bodies
from earmark.apps.studio.answers import Json, found
from earmark.apps.studio.find.finds import archives_in
from earmark.apps.studio.find.keeping import keep
from earmark.apps.studio.folder import views
from earmark.apps.studio.folder.folder import Folder, Located
from earmark.apps.studio.jobs.commands import command_text
from earmark.apps.studio.mistakes import GONE
from earmark.apps.studio.places import ARCHIVES
from earmark.apps.studio.routes.given import TheFolder, TheStudio
from earmark.apps.studio.studio import Studio
from earmark.errors import EarmarkError

router = APIRouter(prefix="/api/find", default_response_class=Json)


@router.get("/archives")
async def archives(studio: TheStudio) -> Json:
    """Return the archives, and the folders of which there can be others."""
    names = list(await asyncio.to_thread(archives_in, studio.path))
    return Json({"archives": names, "sources": list(studio.sources.named)})


@router.get("/archives/{name}")
async def archive(studio: TheStudio, name: str) -> Json:
    """Return what is in an archive."""
    with found():
        return Json({"name": name, **await studio.finds.ask("about", name)})


@router.get("/examples/{id}")
def example(folder: TheFolder, id: str) -> Json:
    """Return a clip of the folder, to be an example."""
    with folder.ledger.lock:
        known = views.find(folder.ledger, id)
    if known is None:
        raise ProblemError(404, GONE)
    return Json(views.clip_json(folder.ledger, known[1], known[2]))


@router.post("/search")
async def search(studio: TheStudio, folder: TheFolder, body: bodies.Search) -> Json:
    """Return the stretches that sound like examples, the nearest first."""
    if not body.like:
        raise EarmarkError("a search needs an example. Choose one.")
    likes = await asyncio.to_thread(located, studio, folder, body.like)
    unlikes = await asyncio.to_thread(located, studio, folder, body.unlike)
    examples = {"like": asked(likes), "unlike": asked(unlikes), "where": body.where}
    most = {"top": body.top, "per_recording": body.per_recording}
    with found():
        answer = await studio.finds.ask("search", body.archive, **examples, **most)
    hits = await asyncio.to_thread(studio.finds.shown, folder, answer["hits"])
    words = ["search", str(studio.path / ARCHIVES / body.archive)]
    for option, examples_ in (("--like", likes), ("--unlike", unlikes)):
        words += [word for each in examples_ for word in (option, _written(each))]
    words += [word for text in body.where for word in ("--where", text)]
    return Json({**answer, "hits": hits, "command": command_text(words)})


@router.post("/keep")
async def kept(studio: TheStudio, folder: TheFolder, body: bodies.Kept) -> Json:
    """Make what was found clips of a class."""
    stretches = [(s.id, s.start or 0.0, s.end) for s in body.stretches if s.end is not None]
    if len(stretches) < len(body.stretches):
        raise EarmarkError("a stretch has no end. Reload the page.")
    with found():
        return Json(await keep(folder, studio.finds, stretches, body.label))


def located(studio: Studio, folder: Folder, stretches: Sequence[bodies.Stretch]) -> list[Located]:
    """Return where examples are; ends are counted from the start of a clip."""
    places = []
    for stretch in stretches:
        at = studio.locate(folder, stretch.id)
        base = at.start or 0.0
        start = at.start if stretch.start is None else base + stretch.start
        end = at.end if stretch.end is None else base + stretch.end
        if end is not None and end <= (start or 0.0):
            raise EarmarkError("the end of an example is not after its start. Give another.")
        places.append(Located(at.path, start, end, at.name))
    return places


def asked(examples: Sequence[Located]) -> list[dict[str, Any]]:
    """Return examples as the process takes them."""
    return [{"path": str(e.path), "start": e.start, "end": e.end} for e in examples]


def _written(example: Located) -> str:
    """Return an example as the command line takes it."""
    if example.end is None:
        return str(example.path)
    return f"{example.path}:{example.start or 0.0:g}-{example.end:g}"
