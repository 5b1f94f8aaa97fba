"""Where the recordings for tests are: EARMARK_TEST_DATA, or ../shared/data beside the checkout."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """Return a folder of the test data, such as ``esc10``; skip the test where it is absent."""
    folder = Path(os.environ.get("EARMARK_TEST_DATA") or BESIDE) / name
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set EARMARK_TEST_DATA")
    return folder
