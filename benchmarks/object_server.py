"""A store of objects that answers after a fixed time, as a distant one does.

    python benchmarks/object_server.py FOLDER [LATENCY_MS]
    python benchmarks/object_server.py --made COUNT [LATENCY_MS]

It serves the files in a folder, or that many made objects without sound, in a bucket of any name,
over HTTP and with the listing of S3.
It prints its port, and at the end how many requests of each kind it had. It needs little CPU time:
one thread, and files in memory after the first request.
"""

from __future__ import annotations

import asyncio
import bisect
import collections
import functools
import hashlib
import os
import signal
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

MADE_BYTES = 100_000


class Objects:
    """The objects of the store: their names in order, sizes, tags and bytes."""

    def __init__(self, folder: Path | None, count: int = 0) -> None:
        self.folder = folder
        made = (made_name(number) for number in range(count))
        self.names = sorted(made if folder is None else (path.name for path in folder.iterdir()))

    def has(self, name: str) -> bool:
        at = bisect.bisect_left(self.names, name)
        return at < len(self.names) and self.names[at] == name

    @functools.cache  # noqa: B019  # lives as long as the process
    def read(self, name: str) -> bytes:
        return b"" if self.folder is None else (self.folder / name).read_bytes()

    def size(self, name: str) -> int:
        return MADE_BYTES if self.folder is None else len(self.read(name))

    def tag(self, name: str) -> str:
        return made_tag(name) if self.folder is None else hashlib.md5(self.read(name)).hexdigest()


def made_name(number: int) -> str:
    return f"{number // 1_000:04d}/{number:08d}.wav"


def made_tag(name: str) -> str:
    return hashlib.md5(name.encode()).hexdigest()


class Server:
    """Answers requests; counts them by kind."""

    def __init__(self, objects: Objects, latency_s: float) -> None:
        self.objects, self.latency_s = objects, latency_s
        self.counts: collections.Counter[str] = collections.Counter()

    def answer_to(self, request: str) -> bytes:
        """Return the head and body of the answer to a request."""
        method, target = request.split(" ", 2)[:2]
        parts = urlsplit(target)
        name = unquote(parts.path).lstrip("/").partition("/")[2]
        if not name:
            self.counts["list"] += 1
            return self._listing(parse_qs(parts.query))
        self.counts[method] += 1
        if not self.objects.has(name):
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        status, more, size = "200 OK", "", self.objects.size(name)
        content = self.objects.read(name) if method == "GET" else b""
        length = size
        fields = dict(line.lower().split(": ", 1) for line in request.split("\r\n")[1:] if line)
        if method == "GET" and (span := fields.get("range", "")):
            first, last = map(int, span.removeprefix("bytes=").split("-"))
            content = content[first : last + 1]
            status, length = "206 Partial Content", len(content)
            more = f"Content-Range: bytes {first}-{first + length - 1}/{size}\r\n"
        head = f'HTTP/1.1 {status}\r\nETag: "{self.objects.tag(name)}"\r\n{more}'
        return f"{head}Content-Length: {length}\r\n\r\n".encode() + content

    def _listing(self, query: dict[str, list[str]]) -> bytes:
        start, count = query.get("start-after", [""])[0], int(query.get("max-keys", ["1000"])[0])
        at = bisect.bisect_right(self.objects.names, start)
        names = self.objects.names[at : at + count]
        entries = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{self.objects.size(name)}</Size>"
            f"<ETag>&quot;{self.objects.tag(name)}&quot;</ETag></Contents>"
            for name in names
        )
        body = f"<ListBucketResult>{entries}</ListBucketResult>".encode()
        return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await asyncio.sleep(self.latency_s)
                writer.write(self.answer_to(request))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def serve(self) -> None:
        listener = await asyncio.start_server(self.connected, "127.0.0.1", 0, backlog=512)
        print(listener.sockets[0].getsockname()[1], flush=True)
        end = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
        await end.wait()
        print(dict(self.counts), flush=True)
        os._exit(0)  # its clients keep their connections


def main(*words: str) -> None:
    if words[0] == "--made":
        objects, *rest = Objects(None, int(words[1])), *words[2:]
    else:
        objects, *rest = Objects(Path(words[0])), *words[1:]
    asyncio.run(Server(objects, float(rest[0] if rest else 40) / 1000).serve())


if __name__ == "__main__":
    main(*sys.argv[1:])
