"""The files of the page: a fixed table, made once. No address of a request reaches the disk."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response

from earmark.errors import EarmarkError

HERE = Path(__file__).parent
ROOTS = {"": HERE / "page", "vendor/": HERE / "vendor"}
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
PAGE = "index.html"


@dataclass(frozen=True)
class Asset:
    """A file of the page: its bytes, as they are and packed, its media type and its tag."""

    content: bytes
    packed: bytes
    media_type: str
    tag: str

    def response(self, headers: Mapping[str, str]) -> Response:
        """Return a response; without the content if the browser has it, packed if it may be."""
        own = {"etag": self.tag, "cache-control": "no-cache", "vary": "accept-encoding"}
        if self.tag in headers.get("if-none-match", ""):
            return Response(status_code=304, headers=own)
        if "gzip" not in headers.get("accept-encoding", ""):
            return Response(self.content, headers=own, media_type=self.media_type)
        own["content-encoding"] = "gzip"
        return Response(self.packed, headers=own, media_type=self.media_type)


def read_assets() -> Mapping[str, Asset]:
    """Return the files by their addresses below ``/static/``."""
    table = {}
    for prefix, root in ROOTS.items():
        for path in sorted(root.rglob("*")):
            if path.is_file():
                table[prefix + path.relative_to(root).as_posix()] = _asset(path)
    return table


def _asset(path: Path) -> Asset:
    if path.suffix not in TYPES:
        raise EarmarkError(f"{path} has no media type. Add {path.suffix!r} to the table of types.")
    content = path.read_bytes()
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'  # weak: of both forms
    return Asset(content, gzip.compress(content, mtime=0), TYPES[path.suffix], tag)
