"""A store of objects on the loopback: moto's S3, with latency, errors, cuts and changes.

Objects are read as ``s3://BUCKET/KEY`` and as ``http://127.0.0.1:PORT/BUCKET/KEY``.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from earmark.audio import copying, parquet_rows, shards
from earmark.system import object_access, objects
from earmark.system.recent import Recent

BUCKET, SECRET = "recordings", "secret"  # nobody may read the second
OWNER = "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request"
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        pass


class ObjectStore:
    """The store; ``faults`` has what goes wrong with the next requests for the body of a key.

    Faults are a status such as 503, 'cut' (half of the body), 'slow' (it waits for ``release``),
    'endless', ('redirect', URL), and bytes (the object has this content from then on). For 'PUT
    KEY' there are statuses, with which requests that write are answered.
    """

    def __init__(self) -> None:
        self.faults: dict[str, Iterator[object]] = defaultdict(lambda: iter(()))
        self.requests: list[tuple[str, str, str]] = []
        self.latency_s, self.release = 0.0, threading.Event()
        self._inner = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )
        self.url = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        for bucket in (BUCKET, SECRET):
            self._send("PUT", f"/{bucket}")

    def put(self, key: str, content: bytes, bucket: str = BUCKET) -> None:
        self._send("PUT", f"/{bucket}/{key}", content)

    def uri(self, key: str, scheme: str = "s3", bucket: str = BUCKET) -> str:
        return f"{'s3:/' if scheme == 's3' else self.url}/{bucket}/{key}"

    def bodies(self) -> list[str]:
        """The keys of the requests for bodies so far; they are forgotten."""
        requests, self.requests = self.requests, []
        return [key for method, key, _ in requests if method == "GET" and key]

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    def _send(self, method: str, path: str, content: bytes = b"") -> None:
        request = urllib.request.Request(self.url + path, content, method=method)
        request.add_header("Authorization", OWNER)
        request.add_header("Content-Type", "application/octet-stream")
        urllib.request.urlopen(request).close()

    def _answer(self, environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        bucket, _, key = path.strip("/").partition("/")
        if method not in ("GET", "HEAD"):
            if (status := next(self.faults[f"{method} {key}"], None)) is not None:
                body = DENIED if status == 403 else b""
                start_response(f"{status} No", [("Content-Length", str(len(body)))])
                return [body]
            return self._inner(environ, start_response)
        environ.setdefault("HTTP_AUTHORIZATION", OWNER)  # everybody may read
        self.requests.append((method, key, environ.get("HTTP_RANGE", "")))
        time.sleep(self.latency_s)
        fault = next(self.faults[key], None) if method == "GET" else None
        if bucket == SECRET:
            fault = 403
        if isinstance(fault, tuple):
            start_response("302 Found", [("Location", fault[1]), ("Content-Length", "0")])
            return [b""]
        if isinstance(fault, int):
            body = DENIED if fault == 403 and method == "GET" else b""
            start_response(f"{fault} No", [("Content-Length", str(len(body)))])
            return [body]
        if fault == "endless":
            start_response("200 OK", [("Connection", "close")])
            return itertools.repeat(b"x" * 65_536)
        if fault == "slow":
            self.release.wait(10)
        elif isinstance(fault, bytes):
            self.put(key, fault)
        body = self._inner(environ, start_response)
        return _half(body) if fault == "cut" else body


def _half(body):
    content = b"".join(body)
    return [content[: len(content) // 2]]


@contextlib.contextmanager
def open_store() -> Iterator[ObjectStore]:
    """Yield a store that ``s3://`` leads to, and no pauses between requests."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    store = ObjectStore()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", store.url)
        patch.setenv("EARMARK_OFFLINE", "0")
        patch.setenv("AWS_ACCESS_KEY_ID", "k")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setattr(objects, "pause", lambda _: None)
        patch.setattr(objects, "DEADLINE_S", 5.0)
        patch.setattr(objects, "_failing", objects._Failing())
        patch.setattr(copying, "_kept", Recent(copying.KEPT))
        patch.setattr(shards, "_shards", Recent(shards.KEPT))
        patch.setattr(parquet_rows, "_statuses", Recent(parquet_rows.KEPT))
        patch.setattr(parquet_rows, "_files", Recent(parquet_rows.KEPT))
        object_access._access.cache_clear()
        try:
            yield store
        finally:
            store.close()
            object_access._access.cache_clear()
