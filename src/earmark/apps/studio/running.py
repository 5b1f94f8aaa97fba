"""The one studio of a folder, and how a second command finds it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from earmark.apps.studio import entry
from earmark.apps.studio.places import PRIVATE
from earmark.errors import EarmarkError
from earmark.system.files import open_file, write_whole

LOCK, ADDRESS, PORT = "studio.lock", "address.json", "port"
MOST_BYTES = 10_000  # of the file with the address
OWN_PORTS = range(32_768, 65_536)  # which systems give out; browsers open every one of them
PATIENCE_S = 5.0  # for another studio that starts now to say its address


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Yield whether this process is the studio of the folder; another one may be it already.

    A folder that cannot be written has no lock, and may have several.
    """
    place = folder / PRIVATE
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        lock = FileLock(place / LOCK, timeout=0, mode=0o600)
        lock.acquire()
    except Timeout:
        yield False
        return
    except (OSError, NotImplementedError):
        yield True
        return
    try:
        entry.clear(place / entry.FOLDER)
        (place / ADDRESS).unlink(missing_ok=True)
        yield True
    finally:
        with contextlib.suppress(OSError):
            (place / ADDRESS).unlink(missing_ok=True)
        lock.release()


def say_address(folder: Path, address: str) -> None:
    """Let other commands know where the studio of the folder is, if the folder can be written."""
    about = {"address": address, "host": socket.gethostname(), "pid": os.getpid()}
    with contextlib.suppress(EarmarkError):
        write_whole(folder / PRIVATE / ADDRESS, json.dumps(about).encode())
        write_whole(folder / PRIVATE / PORT, str(urlsplit(address).port).encode())


def last_port(folder: Path) -> int:
    """Return the port at which the folder was open last, for pages that still are; 0 if unknown."""
    try:
        with open_file(folder / PRIVATE / PORT) as file:
            port = int(file.read(MOST_BYTES))
    except (OSError, ValueError):
        return 0
    return port if port in OWN_PORTS else 0


def invitation(folder: Path) -> str:
    """Return an address that lets a browser into the studio that runs; EarmarkError if none can."""
    address, host = _address(folder)
    if host != socket.gethostname():
        raise EarmarkError(
            f"{folder} is open in a studio on the machine {host}. Stop that one first, or use its"
            " page."
        )
    try:
        token = entry.leave(folder / PRIVATE / entry.FOLDER)
    except OSError as error:
        raise EarmarkError(
            f"{folder} is open in a studio at {address}, and no new way in can be made:"
            f" {error.strerror}. Stop that studio first."
        ) from error
    return f"{address}/?token={token}"


def _address(folder: Path) -> tuple[str, str]:
    """Return the address of the studio that runs, and its machine."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            with open_file(folder / PRIVATE / ADDRESS) as file:
                about = json.loads(file.read(MOST_BYTES))
            return str(about["address"]), str(about["host"])
        except (OSError, ValueError, KeyError, TypeError):
            if time.monotonic() > end:
                raise EarmarkError(
                    f"{folder} is open in another studio, which does not say where. Stop it first."
                ) from None
            time.sleep(0.1)
