"""The clips of the folder: what there is, and every change to it; uploads."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from earmark.apps.service.problems import ProblemError
from earmark.apps.studio import bodies
from earmark.apps.studio.answers import Json, found
from earmark.apps.studio.routes.given import TheFolder, TheStudio

First = Annotated[int, Query(ge=0, le=10**9)]
Count = Annotated[int, Query(ge=0, le=1_000)]
router = APIRouter(prefix="/api", default_response_class=Json)


@router.get("/state")
async def state(studio: TheStudio) -> Json:
    """Return everything that the page shows all the time."""
    return Json(await studio.state())


@router.get("/clips")
def clips(
    folder: TheFolder,
    label: str | None = None,
    unlabelled: bool = False,
    left_out: bool = False,
    first: First = 0,
    count: Count = 100,
) -> Json:
    """Return some clips: of a class, without a label, or those that were left out."""
    chosen = {"label": label, "unlabelled": unlabelled, "left_out": left_out}
    return Json(folder.clips(**chosen, first=first, count=count))  # type: ignore[arg-type]


@router.get("/recordings")
def recordings(folder: TheFolder, first: First = 0, count: Count = 100, long: bool = False) -> Json:
    """Return some recordings; only long ones if asked."""
    return Json(folder.recordings(first=first, count=count, long=long))


@router.get("/recordings/{id}")
def recording(folder: TheFolder, id: str) -> Json:
    """Return a recording and its regions."""
    with found():
        return Json(folder.recording(id))


@router.post("/label")
def label(folder: TheFolder, body: bodies.Labelled) -> Json:
    """Give clips a label, or take it away."""
    return _changed(lambda: folder.label(body.ids, body.label))


@router.post("/regions")
def add_region(folder: TheFolder, body: bodies.Region) -> Json:
    """Make a stretch of a recording a clip."""
    return _changed(lambda: folder.add_region(body.recording, body.start, body.end, body.label))


@router.post("/regions/move")
def move_region(folder: TheFolder, body: bodies.MovedRegion) -> Json:
    """Give a clip other ends."""
    return _changed(lambda: folder.move_region(body.id, body.start, body.end, body.label))


@router.post("/leave-out")
def leave_out(folder: TheFolder, body: bodies.LeftOut) -> Json:
    """Leave clips out of training."""
    return _changed(lambda: folder.leave_out(body.ids, body.reason))


@router.post("/take-back")
def take_back(folder: TheFolder, body: bodies.Several) -> Json:
    """Take clips back that were left out."""
    return _changed(lambda: folder.take_back(body.ids))


@router.post("/delete")
def delete(folder: TheFolder, body: bodies.Several) -> Json:
    """Move recordings to the trash."""
    return _changed(lambda: folder.delete(body.ids))


@router.post("/classes/rename")
def rename(folder: TheFolder, body: bodies.Renamed) -> Json:
    """Rename a class; two classes of one name become one."""
    return _changed(lambda: folder.rename_class(body.old, body.new))


@router.post("/import")
def import_manifest(folder: TheFolder, body: bodies.One) -> Json:
    """Take over the labels of another manifest of the folder."""
    return _changed(lambda: folder.import_manifest(body.id))


@router.post("/undo")
def undo(folder: TheFolder) -> Json:
    """Undo the last change."""
    return _changed(folder.undo)


@router.post("/redo")
def redo(folder: TheFolder) -> Json:
    """Make a change again that was undone."""
    return _changed(folder.redo)


@router.post("/uploads")
def begin_upload(folder: TheFolder, body: bodies.Upload) -> Json:
    """Begin an upload, and return its id."""
    return Json({"upload": folder.begin_upload(body.model_dump())})


@router.put("/uploads/{id}")
async def append(
    folder: TheFolder, id: str, request: Request, offset: Annotated[int, Query(ge=0, le=2**45)]
) -> Json:
    """Add bytes to an upload; return how many it has."""
    data = await request.body()
    if len(data) > bodies.PIECE_BYTES:
        text = f"A part of an upload may have {bodies.PIECE_BYTES:,} bytes. Send smaller ones."
        raise ProblemError(413, text)
    with found():
        return Json({"offset": await run_in_threadpool(folder.append, id, offset, data)})


@router.post("/uploads/{id}/done")
def finish_upload(folder: TheFolder, id: str) -> Json:
    """End an upload; the recording is in the folder then."""
    return _changed(lambda: folder.finish_upload(id))


@router.delete("/uploads/{id}")
def drop_upload(folder: TheFolder, id: str) -> Json:
    """Forget an upload."""
    with found():
        folder.drop_upload(id)
    return Json({})


def _changed(change: Any) -> Json:
    with found():
        return Json(change())
