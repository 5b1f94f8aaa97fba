"""Where recordings and weights for tests are: ../shared/data and ../shared/weights, or as told.

``EARMARK_TEST_DATA`` and ``EARMARK_WEIGHTS`` name other folders.
"""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared"


def shared_data(name: str) -> Path:
    """Return a folder of the test data, such as ``esc10``; skip the test where it is absent."""
    folder = Path(os.environ.get("EARMARK_TEST_DATA") or SHARED / "data") / name
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set EARMARK_TEST_DATA")
    return folder


def shared_weights(name: str) -> Path:
    """Return a file of published weights, such as ``mn04/x.pt``; skip the test where it is not."""
    for folder in (os.environ.get("EARMARK_WEIGHTS") or str(SHARED / "weights")).split(os.pathsep):
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    pytest.skip(f"no weights {name}; set EARMARK_WEIGHTS to a folder that has them")
