"""A publisher of files: an HTTP server on the loopback that can be told to misbehave."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 2_000  # 512,000 bytes


class Publisher(ThreadingHTTPServer):
    """Serves ``content`` under any path; ``script`` says what goes wrong, request by request.

    A number below 1,000 is an HTTP status, a larger one the number of bytes after which the line
    is cut; "silent" sends the headers and no more, "whole" ignores the range that is asked for,
    "endless" never stops. An empty script serves as it should. ``ranges`` is what was asked for.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.script: list[int | str] = []
        self.ranges: list[str | None] = []
        self.delay_s = 0.0
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/net.pth"


class Handler(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        fault = self.server.script.pop(0) if self.server.script else None
        time.sleep(self.server.delay_s)
        if isinstance(fault, int) and fault < 1_000:
            return self.send_error(fault)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and fault != "whole" else 0
        if start >= len(self.server.content):
            return self.send_error(416)
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        if fault != "endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            if fault == "silent":
                self.server.over.wait(10)
            elif fault == "endless":
                while True:
                    self.wfile.write(body)
            else:
                self.wfile.write(body[:fault] if isinstance(fault, int) else body)
        except OSError:
            pass  # the client has heard enough
        return None

    def log_message(self, *_: object) -> None:
        pass
