"""What is served and asked: a classifier of spoken digits, clips of 1 s, requests."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from machine import earmark, shared_data

from .clients import Ask, request
from .host import Server

CLIPS = 20
RATE_HZ = 8_000  # of the recordings of spoken digits
NAME = "digits"  # of the classifier in requests
TIMEOUT_S = 60.0


def classifier(given: Path | None, folder: Path) -> Path:
    """Return the file of the classifier; it is trained if it is neither given nor there yet."""
    path = given or folder / f"{NAME}.earmark"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        data = shared_data("fsdd") / "meta.csv"
        words = [earmark(), "train", data, "-o", path, "--backbone", "speech-embedding"]
        words += ["--group", "speaker", "--no-compare"]
        subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL)
    return path


def recordings(count: int = CLIPS) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the label and the samples of recordings of spoken digits, repeated until 1 s."""
    folder = shared_data("fsdd")
    with (folder / "meta.csv").open() as file:
        rows = list(csv.DictReader(file))
    for k in np.linspace(0, len(rows) - 1, count).astype(int):
        x, rate_hz = soundfile.read(folder / rows[k]["path"], dtype="int16")
        assert rate_hz == RATE_HZ
        yield rows[k]["label"], np.resize(x, RATE_HZ)


def encoded(x: np.ndarray, kind: str = "WAV", rate_hz: int = RATE_HZ) -> bytes:
    """Return samples as the bytes of a file."""
    file = io.BytesIO()
    soundfile.write(file, x, rate_hz, format=kind)
    return file.getvalue()


def clips() -> list[bytes]:
    """Return different clips of 1 s as WAV files."""
    return [encoded(x) for _, x in recordings()]


def raw(body: bytes, kind: str = "audio/wav", **headers: str) -> bytes:
    """Return a request whose body is a file."""
    return request("/v1/predict", body, {"Content-Type": kind, **headers})


def form(body: bytes, name: str = "file", path: str = "/v1/predict") -> bytes:
    """Return a request whose body is a form with a file."""
    edge = "7d1f9c0c5b8a4f6e"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="{name}"; filename="a.wav"\r\n\r\n'
    whole = head.encode() + body + f"\r\n--{edge}--\r\n".encode()
    return request(path, whole, {"Content-Type": f"multipart/form-data; boundary={edge}"})


def answer(port: int, content: bytes) -> tuple[int, bytes]:
    """Send a request alone; return the status and the body of its answer."""
    import socket

    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as sock:
        sock.sendall(content)
        file = sock.makefile("rb")
        status, length = int(file.readline().split()[1]), 0
        while (line := file.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return status, file.read(length)


def asks(server: Server, contents: list[bytes]) -> list[Ask]:
    """Return requests with the answers that the server gives to each alone."""
    own = []
    for content in contents:
        status, body = answer(server.port, content)
        if status != 200:
            sys.exit(f"{server.name} answers {status} to a clip: {body[:500]!r}")
        own.append(Ask(content, body))
    return own


def predicted(model: Path, bodies: list[bytes]) -> list[dict[str, object]]:
    """Return what ``earmark predict --json`` says of each clip, in a process for each."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for body in bodies:
            path = Path(folder) / "clip.wav"
            path.write_bytes(body)
            words = [earmark(), "predict", str(model), str(path), "--json"]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    return found
