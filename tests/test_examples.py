"""The examples in the docstrings of the public names run, and give what they say."""

import doctest
import inspect
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

import earmark

# Whose pages people open first; each has a docstring in numpydoc's form, with an example.
FACE = (
    "Classifier",
    "compare",
    "doctor",
    "embed",
    "evaluate",
    "evaluate_detector",
    "finetune",
    "list_backbones",
    "load",
    "load_backbone",
    "pull",
    "push",
    "review",
    "tag",
    "train",
)
SECTIONS = ("Parameters", "Returns", "Raises", "Examples")
WEIGHTS = Path(os.environ["EARMARK_WEIGHTS"])


@pytest.fixture(autouse=True)
def _names_of_today(monkeypatch):
    """Once a test has imported `earmark.embed` of 0.1, a module stands where the function does."""
    for name in FACE:
        if isinstance(vars(earmark).get(name), ModuleType):
            monkeypatch.delattr(earmark, name)


@pytest.fixture
def workplace(tones, tmp_path, monkeypatch):
    """A folder with recordings of two classes, a classifier of them, and two new recordings."""
    pytest.importorskip("pyopen_wakeword", reason="it carries the weights of speech-embedding")
    tones.rename(tmp_path / "recordings")
    monkeypatch.chdir(tmp_path)
    t, rng = np.arange(16_000) / 16_000, np.random.default_rng(0)
    for name, hz in (("new", 250), ("whistle", 1_800)):
        x = 0.3 * np.sin(2 * np.pi * hz * t) + 0.01 * rng.normal(size=16_000)
        soundfile.write(f"{name}.wav", x, 16_000)
    training = earmark.train("recordings", backbone="logmel", head="prototype", compare=False)
    training.classifier.save("mine.earmark")


def examples(name: str) -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [test for test in finder.find(getattr(earmark, name), name) if test.examples]


@pytest.mark.parametrize("name", FACE)
def test_the_examples_of_a_public_name_run(name: str, workplace):
    if name == "tag" and not (WEIGHTS / "mn04").is_dir():
        pytest.skip(f"no weights of efficientat-mn04 in {WEIGHTS}; set EARMARK_WEIGHTS")
    tests = examples(name)
    assert tests
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in tests:
        said: list[str] = []
        runner.run(test, out=said.append)
        assert not said, "".join(said)


@pytest.mark.parametrize("name", [n for n in FACE if n not in ("Classifier", "list_backbones")])
def test_a_public_function_documents_what_it_takes_gives_and_raises(name: str):
    text = inspect.getdoc(getattr(earmark, name))
    missing = [s for s in SECTIONS if f"{s}\n{'-' * len(s)}" not in text]
    assert not missing
