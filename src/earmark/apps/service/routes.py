"""The paths of the service, and their description (OpenAPI)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from starlette.exceptions import HTTPException

from earmark.apps.service import description
from earmark.apps.service.answering import Service
from earmark.apps.service.documentation import PAGE
from earmark.apps.service.metrics import MEDIA_TYPE as METRICS_TYPE
from earmark.apps.service.posting import DetectQuery, PredictQuery
from earmark.apps.service.problems import MEDIA_TYPE, RETRY, ProblemError, problem_body
from earmark.apps.service.settings import DETECT, PREDICT
from earmark.version import __version__

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def make_app(service: Service) -> FastAPI:
    """Return the application that answers for ``service``."""
    app = FastAPI(
        title="earmark",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        telemetry={"auto_configure": False},  # nothing is sent, whatever the environment says
    )
    app.state.service = service
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(HTTPException, _of_starlette)
    app.add_exception_handler(Exception, _fault)
    add, body = app.post, {"requestBody": description.BODY}
    add(PREDICT, responses=description.of_recordings("Prediction"), openapi_extra=body)(predict)
    add(DETECT, responses=description.of_recordings("Detection"), openapi_extra=body)(detect)
    answers, problems = description.of_json("Models"), description.problems
    app.get("/v1/models", responses=answers | problems(401))(models)
    app.get("/healthz", responses=description.of_status("ok") | problems())(healthz)
    app.get("/readyz", responses=description.of_status("ready") | problems())(readyz)
    answers = description.of_text(METRICS_TYPE)
    app.get("/metrics", response_class=Response, responses=answers | problems(401))(metrics)
    app.get("/docs", include_in_schema=False)(documentation)
    derived = app.openapi

    def described() -> dict[str, Any]:
        return description.complete(derived(), service.models, service.settings.token is not None)

    app.openapi = described  # type: ignore[method-assign]
    return app


async def predict(query: Annotated[PredictQuery, Query()]) -> Response:
    """Classify a recording."""
    raise NotImplementedError("the guard answers this path: see posting.py")


async def detect(query: Annotated[DetectQuery, Query()]) -> Response:
    """Find events in a recording."""
    raise NotImplementedError("the guard answers this path: see posting.py")


async def models(request: Request) -> Response:
    """List the classifiers and their classes."""
    return Response(request.app.state.service.models_json(), media_type="application/json")


async def healthz() -> dict[str, str]:
    """Say that the service runs."""
    return {"status": "ok"}


async def readyz(request: Request) -> dict[str, str]:
    """Say whether the service can answer."""
    if not request.app.state.service.is_ready:
        text = "A process starts again. Try again in a few seconds."
        raise ProblemError(503, text, RETRY)
    return {"status": "ready"}


async def metrics(request: Request) -> Response:
    """Return figures for Prometheus."""
    return Response(request.app.state.service.metrics_text(), media_type=METRICS_TYPE)


async def documentation() -> Response:
    """Return a page that says what can be asked."""
    headers = {"content-security-policy": POLICY}
    return Response(PAGE, media_type="text/html; charset=utf-8", headers=headers)


def _respond(status: int, detail: str, headers: Any = None) -> Response:
    return Response(problem_body(status, detail), status, headers, MEDIA_TYPE)


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return _respond(error.status, error.detail, error.headers)


async def _of_starlette(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = str(error.detail)
    if error.status_code == 404:
        text = "There is no such path. /docs says which there are."
    elif error.status_code == 405:
        text = f"This path does not take {request.method}. /docs says what it takes."
    return _respond(error.status_code, text, error.headers)


async def _fault(_: Request, __: Exception) -> Response:
    return _respond(500, "The service has a fault; its log has more. Report it.")
