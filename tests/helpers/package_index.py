"""A package index on the loopback with one tiny wheel, for pip and for those who have none."""

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from earmark.system.package_index import Wheel

NAME, VERSION = "Tiny_Weights", "1.0"
FILENAME = "tiny_weights-1.0-py3-none-any.whl"
JSON = "application/vnd.pypi.simple.v1+json"


def wheel_bytes(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Zip ``members`` into a wheel for a Python that nobody has; its module must never run."""
    folder = "tiny_weights-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\nRequires-Python: >=9\n"
    names = {
        "tiny_weights/__init__.py": b"raise RuntimeError('the wheel was imported')\n",
        **members,
        f"{folder}/METADATA": f"{metadata}Requires-Dist: no-such-package\n".encode(),
        f"{folder}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    names[f"{folder}/RECORD"] = "".join(f"{name},,\n" for name in names).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return out.getvalue()


def pinned(content: bytes) -> Wheel:
    digest = hashlib.sha256(content).hexdigest()
    return Wheel("tiny-weights", VERSION, FILENAME, digest, len(content))


class Index(ThreadingHTTPServer):
    """Serves ``content`` as the only file of the index; None: the package is not there.

    ``page`` is sent as the JSON page where it is set, and ``html_only`` forgets PEP 691. ``asked``
    has path and `Accept` of every request.
    """

    daemon_threads = True

    def __init__(self, content: bytes | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.page: Any = None
        self.html_only = False
        self.yanked = False
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple"

    def downloads(self) -> int:
        return sum(path.endswith(FILENAME) for path, _ in self.asked)


class Handler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        accept, index = self.headers["Accept"] or "", self.server
        index.asked.append((self.path, accept))
        if self.path == "/simple/tiny-weights/" and index.content is not None:
            if JSON in accept and not index.html_only:
                file = {"filename": FILENAME, "url": f"../../files/{FILENAME}", "hashes": {}}
                page = {"meta": {"api-version": "1.0"}, "name": "tiny-weights", "files": [file]}
                file["yanked"] = index.yanked
                page = page if index.page is None else index.page
                return self.send(JSON, json.dumps(page).encode())
            attribute = 'data-yanked="bad" ' if index.yanked else ""
            link = f'<a {attribute}href="../../files/{FILENAME}">{FILENAME}</a>'
            return self.send("text/html", f"<!DOCTYPE html><html><body>{link}</body>".encode())
        if self.path == f"/files/{FILENAME}" and index.content is not None:
            return self.send("application/octet-stream", index.content)
        return self.send_error(404)

    def send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(content: bytes | None) -> Iterator[Index]:
    with Index(content) as index:
        threading.Thread(target=index.serve_forever, args=(0.01,), daemon=True).start()
        yield index
        index.shutdown()


def settings(index: Index | None) -> dict[str, str]:
    """The environment in which pip, and earmark without it, know this index and no other."""
    return {
        "NO_PROXY": "*",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_FIND_LINKS": "",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_INDEX_URL": index.url if index else "",
    }
