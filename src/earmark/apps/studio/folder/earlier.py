"""Where a folder was before: what commands wrote there names its recordings by those paths."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from earmark.apps.studio.folder.ledger import Ledger
from earmark.apps.studio.places import PRIVATE
from earmark.errors import EarmarkError
from earmark.system.files import open_file, relative_path, write_whole

FILE = "paths.json"
MOST_PATHS, MOST_BYTES = 100, 10**6


def paths_of(ledger: Ledger) -> list[Path]:
    """Return the path of a folder and those that it had before, and remember them.

    Nothing is written into a folder in which no studio has written yet.
    """
    earlier: list[str] = []
    file = ledger.path / PRIVATE / FILE
    with contextlib.suppress(OSError, ValueError, RecursionError), open_file(file) as opened:
        value = json.loads(opened.read(MOST_BYTES))
        earlier = [path for path in value if isinstance(path, str)]
    paths = list(dict.fromkeys([str(ledger.path), *earlier]))[:MOST_PATHS]
    if paths != earlier and file.parent.is_dir():
        with contextlib.suppress(OSError, EarmarkError):  # the folder cannot be written
            write_whole(ledger.own() / FILE, json.dumps(paths).encode())
    return [Path(path) for path in paths]


def place_in(paths: list[Path], path: Path) -> str:
    """Return where a recording lies in the folder that has, or had, one of ``paths``."""
    return relative_path(path, next((one for one in paths if path.is_relative_to(one)), paths[0]))
