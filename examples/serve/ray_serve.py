"""A classifier on Ray Serve: `EARMARK_MODEL=mine.earmark serve run ray_serve:app`."""

import asyncio
import os

from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

import earmark

MOST_BYTES = 32 * 2**20
os.environ.setdefault("EARMARK_MAX_SECONDS", "120")  # of one recording


@serve.deployment(max_ongoing_requests=4)
class Ears:
    def __init__(self, model: str) -> None:
        self.session = earmark.load(model).session()

    async def __call__(self, request: Request) -> JSONResponse:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return JSONResponse({"detail": f"Send at most {MOST_BYTES:,} bytes."}, 413)
        try:
            answer = await asyncio.to_thread(self.session.predict, body)
        except earmark.EarmarkError as error:
            return JSONResponse({"detail": str(error)}, 422)
        return JSONResponse({"labels": answer.labels, "scores": answer.scores})


app = Ears.bind(os.environ["EARMARK_MODEL"])
