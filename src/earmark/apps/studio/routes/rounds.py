"""Labels of an archive in rounds: windows to answer, the answers, and where a person stands."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from earmark.apps.studio import bodies
from earmark.apps.studio.answers import Json, found
from earmark.apps.studio.find.rounds import COUNT, class_of, classes_in
from earmark.apps.studio.folder.folder import Folder, Located
from earmark.apps.studio.jobs.commands import shown_command
from earmark.apps.studio.places import PRIVATE
from earmark.apps.studio.routes.finds import asked, located
from earmark.apps.studio.routes.given import TheFolder, TheStudio
from earmark.apps.studio.studio import Studio
from earmark.errors import EarmarkError

MOST_OWN = 8  # clips of the folder that are examples of their class
router = APIRouter(prefix="/api/find", default_response_class=Json)


@router.get("/archives/{name}/labels")
async def labels(studio: TheStudio, name: str) -> Json:
    """Return how many labels there are of each class."""
    with found():
        path = await asyncio.to_thread(studio.finds.archive, name)
    return Json(await asyncio.to_thread(classes_in, path))


@router.post("/round")
async def round_(studio: TheStudio, folder: TheFolder, body: bodies.Round) -> Json:
    """Return the round that is not answered yet, or the next one."""
    with found():
        path = await asyncio.to_thread(studio.finds.archive, body.archive)
    name = await asyncio.to_thread(_class, folder, body.name)
    kept = None
    if not body.fresh:
        kept = await asyncio.to_thread(studio.rounds.open, path, name, body.who)
    if kept is None:
        likes = await asyncio.to_thread(_examples, studio, folder, name, body.like)
        answer = await studio.finds.ask(
            "round",
            body.archive,
            name=name,
            who=body.who,
            where=body.where,
            group=body.group,
            like=asked(likes),
            count=COUNT,
        )
        kept = await asyncio.to_thread(studio.rounds.begin, path, name, body.who, answer)
    shown = await asyncio.to_thread(_shown, studio, folder, kept)
    command = shown_command(studio.path, "label", {"archive": body.archive, "name": name}, {})
    return Json({**shown, "name": name, "command": command})


@router.post("/answer")
async def answer(studio: TheStudio, body: bodies.Answer) -> Json:
    """Keep an answer; it is on the disk when this returns."""
    with found():
        path = await asyncio.to_thread(studio.finds.archive, body.archive)
    given = (body.name, body.who, body.round, body.number, body.word)
    return Json(await asyncio.to_thread(studio.rounds.answer, path, *given))


@router.post("/undo")
async def undo(studio: TheStudio, folder: TheFolder, body: bodies.Asked) -> Json:
    """Take the last answer of a person back."""
    with found():
        path = await asyncio.to_thread(studio.finds.archive, body.archive)
    taken = await asyncio.to_thread(studio.rounds.undo, path, body.name, body.who)
    if taken is None:
        raise EarmarkError("there is no answer of yours to take back.")
    if taken["round"] is not None:
        taken["round"] = await asyncio.to_thread(_shown, studio, folder, taken["round"])
    return Json(taken)


def _class(folder: Folder, name: str) -> str:
    """Return the name of a class as the folder has it, whose labels may differ from it in case."""
    return class_of(name, [row["name"] for row in folder.state()["classes"]])


def _examples(
    studio: Studio, folder: Folder, name: str, given: Sequence[bodies.Stretch]
) -> list[Located]:
    """Return examples of a class, which become labels: those given, and clips of the folder.

    Uploads that are only tried are left out, because they are deleted.
    """
    clips = folder.clips(label=name, count=MOST_OWN)["clips"]
    own = [bodies.Stretch(id=clip["id"]) for clip in clips if clip["error"] is None]
    private = studio.path / PRIVATE
    places = located(studio, folder, [*given, *own])
    return [place for place in places if not place.path.is_relative_to(private)]


def _shown(studio: Studio, folder: Folder, kept: dict[str, Any]) -> dict[str, Any]:
    """Return a round as the page takes it: recordings by their ids."""
    against = [
        {**pair[0], "recording": _recording(pair[0]), "answers": _answers(pair)}
        for pair in kept["contradictions"]
    ]
    shown = studio.finds.shown(folder, [*kept["proposals"], *against])
    n = len(kept["proposals"])
    return {**kept, "proposals": shown[:n], "contradictions": shown[n:]}


def _recording(decision: dict[str, Any]) -> dict[str, Any]:
    place = decision.pop("place")
    path = str(place).replace("\\", "/").rpartition("/")[2]
    about = {"path": path, "place": place, "dataset": "", "seconds": None}
    return {**about, "is_gone": False, "columns": {}}


def _answers(pair: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{name: each[name] for name in ("who", "suggested", "word")} for each in pair]
