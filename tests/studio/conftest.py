import pytest

import studios
from studios import write_sounds


@pytest.fixture
def sounds(tmp_path):
    """A folder with two classes of two tones each."""
    return write_sounds(tmp_path / "sounds")


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A studio that the tests of a module share; it is not to be changed."""
    with studios.running(write_sounds(tmp_path_factory.mktemp("shared") / "sounds")) as client:
        yield client
