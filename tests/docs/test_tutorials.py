"""The tutorials run from the first block to the last, and print what they show."""

import pytest
import sklearn

import tutorial_pages
from tutorial_pages import Output


@pytest.mark.slow
@pytest.mark.parametrize("name", tutorial_pages.SELF_CONTAINED)
def test_a_tutorial_runs_and_prints_what_it_shows(name, tmp_path, monkeypatch):
    """To write what is printed into the pages, run tests/helpers/tutorial_pages.py."""
    pytest.importorskip("pyopen_wakeword", reason="it carries the weights of speech-embedding")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EARMARK_WEIGHTS", "")
    text = (tutorial_pages.TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    with sklearn.config_context():  # what a page configures ends with it
        outputs = list(tutorial_pages.run(text))
    assert outputs
    for output in outputs:
        assert output.agrees(), (
            f"{output.source}\n-- shown:\n{output.shown}\n-- printed:\n{output.printed}"
        )


@pytest.mark.parametrize(
    ("shown", "agrees"),
    [
        ("accuracy 0.93\nmore\n", True),
        ("accuracy  0.9\nmore\n", True),
        ("...\nmore\n", True),
        ("accuracy 0.93\n", False),
        ("error 0.91\nmore\n", False),
    ],
)
def test_an_output_agrees_but_for_figures_and_blanks(shown, agrees):
    assert Output("", 0, 0, shown, "accuracy 0.91\nmore\n").agrees() is agrees
