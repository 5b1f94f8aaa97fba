"""What the paths are given: the studio and its folder."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from earmark.apps.studio.folder.folder import Folder
from earmark.apps.studio.learned.reviews import Reviews
from earmark.apps.studio.studio import Studio


def _studio(request: Request) -> Studio:
    studio: Studio = request.app.state.studio
    return studio


async def _folder(request: Request) -> Folder:
    return await _studio(request).folder()


TheStudio = Annotated[Studio, Depends(_studio)]


async def _reviews(request: Request) -> Reviews:
    return await _studio(request).reviews()


TheReviews = Annotated[Reviews, Depends(_reviews)]
TheFolder = Annotated[Folder, Depends(_folder)]
