"""Jobs: commands that run beside the studio, what can be chosen, and the commands of the strip."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from earmark.apps.studio import bodies
from earmark.apps.studio.answers import Json, found
from earmark.apps.studio.jobs.choices import choices
from earmark.apps.studio.jobs.commands import shown_command
from earmark.apps.studio.routes.given import TheFolder, TheStudio

READING = ("doctor", "fix", "train", "review", "index")  # kinds of jobs
router = APIRouter(prefix="/api", default_response_class=Json)


@router.get("/jobs")
async def jobs(studio: TheStudio) -> Json:
    """Return all jobs, without their results."""
    return Json(studio.jobs.list())


@router.post("/jobs")
async def start(studio: TheStudio, folder: TheFolder, body: bodies.Action) -> Json:
    """Start a job. One that reads the folder reads what the page shows."""
    if body.kind in READING:
        await asyncio.to_thread(folder.settle)
    return Json(await studio.jobs.start(body.kind, body.choices))


@router.get("/jobs/{id}")
async def job(studio: TheStudio, id: str) -> Json:
    """Return a job and its result; findings have the ids of their clips, and remedies."""
    remedies = await studio.remedies()
    with found():
        return Json(await asyncio.to_thread(remedies.shown, id))


@router.post("/jobs/{id}/stop")
async def stop(studio: TheStudio, id: str) -> Json:
    """End a job; it can be taken up again."""
    with found():
        return Json(await studio.jobs.stop(id))


@router.post("/jobs/{id}/resume")
async def resume(studio: TheStudio, id: str) -> Json:
    """Take up a job that was ended."""
    with found():
        return Json(await studio.jobs.resume(id))


@router.get("/choices")
def offers(studio: TheStudio) -> Json:
    """Return what can be chosen for a training, and good defaults."""
    return Json(choices(studio.path))


@router.post("/command")
def show(studio: TheStudio, body: bodies.Action) -> Json:
    """Return the command that does the same as an action of the page."""
    return Json(
        {"command": shown_command(studio.path, body.kind, body.choices, studio.sources.named)}
    )
