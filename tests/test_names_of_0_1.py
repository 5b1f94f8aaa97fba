"""Every name that 0.1 made public, or printed in its pages, works and says what it is now."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = json.loads((Path(__file__).parent / "fixtures" / "0.1" / "names.json").read_text())
PUBLIC = [f"earmark.{name}" for name in NAMES["all"]]
PRINTED = [name for entry in NAMES["docs"] for name in entry["names"]]
PLUGINS = [*NAMES["plugins"]["names"], *NAMES["plugins"]["names_of_built_in_networks"]]

RESOLVE = """
import importlib, json, sys, warnings

def resolve(name):
    parts = name.split(".")
    for size in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:size]))
        except ModuleNotFoundError:
            continue
        for part in parts[size:]:
            thing = getattr(thing, part)
        return thing

said = {}
for name in json.load(sys.stdin):
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        resolve(name)
    said[name] = [str(w.message) for w in given if w.category is DeprecationWarning]
print(json.dumps(said))
"""


def run(code: str, text: str = "") -> str:
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def said() -> dict[str, list[str]]:
    """What each name said when it was looked up, in a fresh process."""
    return json.loads(run(RESOLVE, json.dumps(sorted({*PUBLIC, *PRINTED, *PLUGINS}))))


@pytest.mark.parametrize("name", sorted({*PUBLIC, *PRINTED, *PLUGINS}))
def test_a_name_of_0_1_is_there_and_says_what_it_is_now(name: str, said: dict[str, list[str]]):
    for text in said[name]:
        assert text.endswith("; the old name works until 0.3.") and " is now earmark." in text


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("earmark.create", "earmark.load_backbone"),
        ("earmark.backbones.create", "earmark.backbones.load_backbone"),
        ("earmark.comparison.compare", "earmark.training.comparison.compare"),
        ("earmark.review.review", "earmark.labelling.reviewing.review"),
        ("earmark.doctor.examine", "earmark.data.doctor.examine"),
        ("earmark.embed.embed", "earmark.embeddings.embedding.embed"),
        ("earmark.heads.fit", "earmark.training.heads.fit"),
        ("earmark.report.Evidence", "earmark.report.ReportContents"),
    ],
)
def test_a_name_that_moved_warns(name: str, now: str, said: dict[str, list[str]]):
    assert said[name] == [f"{name} is now {now}; the old name works until 0.3."]


@pytest.mark.parametrize(
    "name", [*NAMES["plugins"]["names"], "earmark.train", "earmark.audio.read"]
)
def test_a_name_that_stays_does_not_warn(name: str, said: dict[str, list[str]]):
    assert said[name] == []


@pytest.mark.slow
def test_calls_that_pages_of_0_1_print():
    run(
        """
import earmark
from earmark import Dataset, Store, audio, backbones, heads
from earmark.embed import embed
assert callable(earmark.review) and callable(earmark.review.review)
assert callable(earmark.doctor.examine) and callable(earmark.doctor)
assert callable(earmark.embed) and earmark.embed.embed is embed
assert backbones.create("logmel").info.name == earmark.create("logmel").info.name == "logmel"
assert heads.Targets.single is not None and audio.window is not None
import earmark.review, earmark.doctor
assert callable(earmark.review) and earmark.review.Review
assert earmark.doctor.Finding
"""
    )


def test_importing_a_module_of_today_does_not_warn():
    """A room's module may import another one of the room: that is no name of 0.1."""
    statement = "from earmark.training import estimation"
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", statement]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_module_of_the_command_line_still_starts():
    command = [sys.executable, "-m", "earmark.cli", "--version"]
    assert subprocess.run(command, capture_output=True, text=True).stdout.startswith("earmark 0.2")
