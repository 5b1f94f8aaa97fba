"""The short way of ``POST /v1/predict`` and ``POST /v1/detect``: head, body, answer.

FastAPI only describes these paths. Its router and middleware take as long as a small network.
"""

from __future__ import annotations

import collections
import functools
import urllib.parse
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.types import Receive, Scope, Send

from earmark.apps.service.answering import Service
from earmark.apps.service.bodies import DisconnectError
from earmark.apps.service.problems import ProblemError, send_problem, send_response
from earmark.apps.service.settings import DETECT, PREDICT


class DetectQuery(BaseModel):
    """The options of ``/v1/detect``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = Field(None, description="The detector; the first if none.")


class PredictQuery(BaseModel):
    """The options of ``/v1/predict``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = Field(None, description="The classifier; the first if none.")
    top: int = Field(3, ge=1, le=10_000, description="Number of classes to show.")
    coverage: float | None = Field(
        None, gt=0, lt=1, description="Add the set of plausible classes, such as 0.9."
    )


QUERIES: Mapping[str, type[BaseModel]] = {PREDICT: PredictQuery, DETECT: DetectQuery}


async def post(service: Service, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a POST to one of ``QUERIES``."""
    try:
        options = dict(_options(scope["path"], scope["query_string"]))
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        body = await service.answer(receive, headers, scope["path"], options.pop("model"), options)
    except ProblemError as problem:
        service.admission.offer()  # the place that it may have been called to
        await send_problem(send, problem)
    except DisconnectError:
        return
    except Exception:
        text = "The service has a fault; its log has more. Report it."
        await send_problem(send, ProblemError(500, text))
        raise  # into the log
    else:
        await send_response(send, 200, "application/json", body, {})


@functools.lru_cache(256)
def _options(path: str, query: bytes) -> Mapping[str, Any]:
    """Return the options of a query; ProblemError for one that is not allowed."""
    pairs = urllib.parse.parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    for name, count in collections.Counter(name for name, _ in pairs).items():
        if count > 1:
            raise ProblemError(422, f"?{name[:80]} is there {count} times. Give one.")
    try:
        return QUERIES[path].model_validate(dict(pairs)).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        name, given = str(first["loc"][-1])[:80], str(first["input"])[:80]
        raise ProblemError(
            422, f"?{name}={given} is not allowed: {first['msg']}. Correct it or leave it out."
        ) from None
