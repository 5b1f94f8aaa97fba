"""Classifiers: what is known of them, their files and exports, and trying one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.concurrency import run_in_threadpool

from earmark.apps.service.problems import ProblemError
from earmark.apps.studio.answers import Json, download, download_folder, found
from earmark.apps.studio.learned import models, shelves
from earmark.apps.studio.places import MODEL_SUFFIX
from earmark.apps.studio.routes.given import TheFolder, TheStudio

router = APIRouter(prefix="/api", default_response_class=Json)


@router.get("/models")
def list_models(studio: TheStudio) -> Json:
    """Return what is known of each classifier."""
    return Json(models.models(studio.path))


@router.get("/models/{name}/summary")
def summary(studio: TheStudio, name: str) -> Json:
    """Return the figures of a report."""
    with found():
        return Json(models.summary(studio.path, name))


@router.get("/models/{name}/answers")
def answers(
    folder: TheFolder,
    name: str,
    first: Annotated[int, Query(ge=0, le=10**9)] = 0,
    count: Annotated[int, Query(ge=0, le=1_000)] = 50,
    label: str | None = None,
) -> Json:
    """Return the mistakes of which a classifier was most certain."""
    with found():
        return Json(models.answers(folder, name, first=first, count=count, label=label))


@router.get("/models/{name}/file")
def model_file(studio: TheStudio, name: str) -> Response:
    """Return the file of a classifier."""
    return download(shelves.model_files(studio.path), name, f"{name}{MODEL_SUFFIX}")


@router.get("/exports")
def list_exports(studio: TheStudio) -> Json:
    """Return the exported files and folders."""
    listed = shelves.exports(studio.path)
    return Json([shelves.about(name, path) for name, path in listed.items()])


@router.get("/exports/{name}")
def exported(studio: TheStudio, name: str) -> Response:
    """Return an exported file, or an exported folder as a ZIP archive."""
    listed = shelves.exports(studio.path)
    with found():
        path = listed[name]
    return download_folder(path, name) if path.is_dir() else download(listed, name, name)


@router.post("/try/{name}")
async def try_model(
    studio: TheStudio, folder: TheFolder, name: str, upload: str = "", id: str = ""
) -> Response:
    """Return the answer of a classifier for a clip, or for a recording that was uploaded."""
    if bool(upload) == bool(id):
        raise ProblemError(422, "The recording is missing, or there are two. Give one.")
    locate = folder.locate_upload if upload else folder.locate
    with found():
        (await run_in_threadpool(shelves.model_files, studio.path))[name]
        located = await run_in_threadpool(locate, upload or id)
    answer = await studio.tries.answer(name, located.path, located.start, located.end)
    return Response(answer, media_type="application/json")
