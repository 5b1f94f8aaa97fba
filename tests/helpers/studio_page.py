"""The studio's page in a browser, with a server of the test's own making behind it."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Callable
from importlib import resources
from typing import Any
from urllib.parse import unquote, urlsplit

PAGE = resources.files("earmark.apps.studio") / "page"
WORD = re.compile(r"/static/([\w./-]+)")
TYPES = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}
# A stream of events that the test writes: source.dispatchEvent(new MessageEvent("job", ...)).
SOURCE = """
    window.EventSource = class extends EventTarget {
      static CLOSED = 2;
      constructor() { super(); this.readyState = 1; window.source = this; }
      close() {}
    };
"""
CLASSES = ("owl", "fox", "deer")
STATE = {
    "version": 1,
    "folder": {"name": "forest", "path": "/forest"},
    "counts": {"recordings": 18, "clips": 18, "labelled": 18, "unlabelled": 0, "left_out": 0},
    "classes": [{"name": name, "n_clips": 6, "n_takes": 6} for name in CLASSES],
    "columns": [],
    "undo": None,
    "redo": None,
    "manifests": [],
    "trouble": [],
    "can_write": True,
    "models": [],
    "jobs": [],
    "limits": {"upload_bytes": 1_000, "piece_s": 30},
    "is_remote": False,
    "version_text": "earmark",
}


def job(kind: str, state: str = "running", **more: Any) -> dict[str, Any]:
    """Return a job as the server tells of it."""
    plain = {"id": f"job-{kind}", "kind": kind, "choices": {}, "command": f"earmark {kind}"}
    times = {"started_at": "2026-01-01T00:00:00Z", "ended_at": None, "left_s": None}
    rest = {"stage": None, "stages": [], "error": None, "said": None, "is_waiting": False}
    return {**plain, **times, **rest, "state": state, **more}


class StudioPage:
    """A page whose requests the test answers.

    ``replies`` has a JSON value, or a function of the body that returns one, by 'GET /api/x'. What
    was posted is in ``posted``, in its order.
    """

    def __init__(self, page: Any, replies: dict[str, Any]) -> None:
        self.page, self.posted = page, []
        self.state = json.loads(json.dumps(STATE))
        self.replies = {
            "GET /api/state": lambda _: self.state,
            "POST /api/command": lambda body: {"command": f"earmark {body['kind']}"},
            **replies,
        }
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        page.add_init_script(SOURCE)

    def open(self, screen: str) -> Any:
        """Show a screen, such as 'doctor'; return the page."""
        self.page.goto(f"http://127.0.0.1:{self.server.server_address[1]}/#/{screen}")
        self.page.wait_for_selector("h1")
        return self.page

    def tell(self, event: str, data: dict[str, Any]) -> None:
        """Send an event."""
        self.page.evaluate(
            "([event, data]) => source.dispatchEvent(new MessageEvent(event, { data }))",
            [event, json.dumps(data)],
        )

    def posts(self, path: str) -> list[Any]:
        """Return what was posted to a path."""
        return [body for where, body in self.posted if where == path]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def _handler(studio: StudioPage) -> Callable[..., http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            word = WORD.fullmatch(path)
            name = "index.html" if path == "/" else word[1] if word else ""
            if name:
                file = PAGE / name
                known = file.is_file()
                kind = TYPES[name.rpartition(".")[2]]
                self._send(200 if known else 404, file.read_bytes() if known else b"", kind)
            else:
                self._answer(path, None)

        def do_POST(self) -> None:
            path = unquote(urlsplit(self.path).path)
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            studio.posted.append((path, body))
            self._answer(path, body)

        def _answer(self, path: str, body: Any) -> None:
            reply = studio.replies.get(f"{self.command} {path}")
            value = reply(body) if callable(reply) else reply
            problem = {"status": 404, "detail": "It is not there."}
            content = json.dumps(problem if value is None else value).encode()
            self._send(404 if value is None else 200, content, "application/json")

        def _send(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
