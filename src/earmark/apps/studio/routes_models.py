"""Classifiers: what is known of them, their files and exports, and trying one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from earmark.apps.service.problems import ProblemError
from earmark.apps.studio import shelves
from earmark.apps.studio.answers import GONE, Json, download, download_folder, found
from earmark.apps.studio.given import TheFolder, TheStudio
from earmark.apps.studio.models import answers, models, summary

router = APIRouter(prefix="/api", default_response_class=Json)


@router.get("/models")
def list_models(studio: TheStudio) -> Json:
    """Return what is known of each classifier."""
    return Json({"models": models(studio.path)})


@router.get("/models/{name}/summary")
def show_summary(studio: TheStudio, name: str) -> Json:
    """Return the figures of a report."""
    _known(studio, name)
    return Json(summary(studio.path, name))


@router.get("/models/{name}/answers")
def show_answers(
    studio: TheStudio,
    folder: TheFolder,
    name: str,
    first: Annotated[int, Query(ge=0, le=10**9)] = 0,
    count: Annotated[int, Query(ge=0, le=1_000)] = 30,
) -> Json:
    """Return the mistakes of which a classifier was most certain."""
    _known(studio, name)
    return Json(answers(folder, name, first=first, count=count))


@router.get("/models/{name}/file")
def model_file(studio: TheStudio, name: str) -> Response:
    """Return the file of a classifier."""
    return download(shelves.model_files(studio.path), name, f"{name}{shelves.SUFFIX}")


@router.get("/exports")
def list_exports(studio: TheStudio) -> Json:
    """Return the exported files and folders."""
    found_exports = shelves.exports(studio.path)
    return Json({"exports": [shelves.about(name, path) for name, path in found_exports.items()]})


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
    _known(studio, name)
    if bool(upload) == bool(id):
        raise ProblemError(422, "Give a clip or an upload.")
    with found():
        located: Any = folder.locate_upload(upload) if upload else folder.locate(id)
    answer = await studio.tries.answer(name, located.path, located.start, located.end)
    return Response(answer, media_type="application/json")


def _known(studio: TheStudio, name: str) -> None:
    if name not in shelves.model_files(studio.path):
        raise ProblemError(404, GONE)
