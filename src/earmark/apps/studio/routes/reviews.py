"""Reviews: suspects of a decisions file, and what a person decided about them."""

from __future__ import annotations

from fastapi import APIRouter

from earmark.apps.studio import bodies
from earmark.apps.studio.answers import Json, found
from earmark.apps.studio.routes.given import TheReviews

router = APIRouter(prefix="/api/reviews", default_response_class=Json)


@router.get("")
def reviews(reviews: TheReviews) -> Json:
    """Return the names of all reviews, the newest first."""
    return Json(reviews.names())


@router.get("/{name}")
def review(reviews: TheReviews, name: str) -> Json:
    """Return a review with its suspects."""
    with found():
        return Json(reviews.read(name))


@router.post("/{name}/decide")
def decide(reviews: TheReviews, name: str, body: bodies.Decision) -> Json:
    """Write a decision down."""
    with found():
        return Json(reviews.decide(name, body.row, body.decision))


@router.post("/{name}/apply")
def apply(reviews: TheReviews, name: str) -> Json:
    """Change the labels as the decisions say."""
    with found():
        return Json(reviews.apply(name))
