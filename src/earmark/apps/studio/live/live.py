"""Live sound of the page: the service's streams, for the classifiers of a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from earmark.apps.service.hearers import Hearers
from earmark.apps.service.listening import POLICY, REASON_BYTES, hear
from earmark.apps.service.problems import ProblemError
from earmark.apps.service.settings import Settings
from earmark.apps.service.sound import sound_of

PATH = "/api/live"
MODULE = "earmark.apps.studio.live.child"


class StudioHearers(Hearers):
    """The processes that score live sound; they find classifiers in the folder themselves."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        super().__init__(settings, MODULE)
        self._folder = folder

    def told(self) -> dict[str, Any]:
        """Return what a new process is told."""
        return {"folder": str(self._folder)}


class Live:
    """Answers the WebSocket of the page.

    ``models`` returns the files of classifiers by name.
    """

    def __init__(
        self, hearers: Hearers, models: Callable[[], Mapping[str, Path]], patience_s: float
    ) -> None:
        self._hearers, self._models, self._patience_s = hearers, models, patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one stream. What is wrong is said in it: a page cannot see a refusal."""
        try:
            if scope["path"] != PATH:
                raise ProblemError(404, f"There is no WebSocket here. Open one at {PATH}.")
            names = list(self._models())
            if not names:
                raise ProblemError(422, "There is no classifier yet. Train one.")
            sound = sound_of(scope["query_string"], names)
            await hear(self._hearers, sound, self._patience_s, scope, receive, send)
        except ProblemError as problem:
            await receive()  # the handshake
            await send({"type": "websocket.accept"})
            error = {"type": "error", "detail": problem.detail}
            text = json.dumps(error, ensure_ascii=False)
            await send({"type": "websocket.send", "text": text})
            reason = problem.detail.encode()[:REASON_BYTES].decode("utf-8", "ignore")
            await send({"type": "websocket.close", "code": POLICY, "reason": reason})
