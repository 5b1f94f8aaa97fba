"""Libraries in the page of the studio: which they are, whole and with their licences."""

import hashlib
import json
from pathlib import Path

import pytest

import earmark

VENDOR = Path(earmark.__file__).parent / "apps" / "studio" / "vendor"
NPM = Path(__file__).parents[2] / "tools" / "javascript"
FILES = json.loads((VENDOR / "vendored.json").read_text())


def test_every_file_is_listed():
    listed = {entry["file"] for entry in FILES}
    assert {path.name for path in VENDOR.iterdir()} == listed | {"vendored.json"}
    assert {entry["licence_file"] for entry in FILES} <= listed


@pytest.mark.parametrize("entry", FILES, ids=lambda entry: entry["file"])
def test_a_file_is_the_one_that_was_published(entry):
    content = (VENDOR / entry["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    pinned = json.loads((NPM / "package.json").read_text())["devDependencies"]
    assert pinned[entry["npm"]] == entry["version"]
    package = NPM / "node_modules" / entry["npm"]
    if not package.is_dir():
        pytest.skip("the npm package is not installed: make check installs it")
    assert (package / entry["path"]).read_bytes() == content
