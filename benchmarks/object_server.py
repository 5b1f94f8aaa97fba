"""A web server of the files in a folder that answers after a fixed time, as a distant store does.

    python benchmarks/object_server.py FOLDER [LATENCY_MS]

It prints its port. It needs little CPU time: one thread, files in memory after the first request.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import sys
from pathlib import Path


@functools.cache
def content_of(path: Path) -> tuple[bytes, str]:
    content = path.read_bytes()
    return content, hashlib.md5(content).hexdigest()


def answer_to(request: str, folder: Path) -> bytes:
    """Return the head and body of the answer to a GET or HEAD request, perhaps of a range."""
    method, target = request.split(" ", 2)[:2]
    path = folder / target.lstrip("/")
    if not path.is_file():
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    content, tag = content_of(path)
    fields = dict(line.lower().split(": ", 1) for line in request.split("\r\n")[1:] if line)
    status, more = "200 OK", ""
    if span := fields.get("range", ""):
        first, last = span.removeprefix("bytes=").split("-")
        status, size = "206 Partial Content", len(content)
        content = content[int(first) : int(last) + 1]
        more = f"Content-Range: bytes {first}-{int(first) + len(content) - 1}/{size}\r\n"
    head = f'HTTP/1.1 {status}\r\nETag: "{tag}"\r\n{more}Content-Length: {len(content)}\r\n\r\n'
    return head.encode() + (content if method == "GET" else b"")


async def serve(folder: Path, latency_s: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await asyncio.sleep(latency_s)
                writer.write(answer_to(request, folder))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    milliseconds = float(sys.argv[2]) if len(sys.argv) > 2 else 40.0
    asyncio.run(serve(Path(sys.argv[1]).resolve(), milliseconds / 1000))
