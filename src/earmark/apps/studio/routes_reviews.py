"""Reviews: suspects of a decisions file, and what a person decided about them."""

from __future__ import annotations

from fastapi import APIRouter

from earmark.apps.studio.answers import Json

router = APIRouter(prefix="/api/reviews", default_response_class=Json)
