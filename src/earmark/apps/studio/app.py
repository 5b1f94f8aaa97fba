"""The paths of the studio, put together."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from earmark.apps.studio.answers import Json, add_handlers
from earmark.apps.studio.learned.shelves import model_files
from earmark.apps.studio.live.live import Live
from earmark.apps.studio.routes import data, finds, jobs, models, pages, reviews, rounds, sounds
from earmark.apps.studio.studio import Studio

ROUTES = (pages, data, sounds, jobs, models, reviews, finds, rounds)


def make_app(studio: Studio) -> ASGIApp:
    """Return the application: FastAPI for requests, and the WebSocket beside it."""
    app = FastAPI(
        title="earmark studio",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        default_response_class=Json,
        telemetry={"auto_configure": False},  # nothing is sent, whatever the environment says
    )
    app.state.studio = studio
    add_handlers(app)
    for routes in ROUTES:
        app.include_router(routes.router)
    patience_s = studio.settings.limits.body_s
    live = Live(studio.hearers, lambda: model_files(studio.path), patience_s)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await (live if scope["type"] == "websocket" else app)(scope, receive, send)

    return answer
