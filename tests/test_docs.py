"""README and docs say what the code does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from earmark import backbones

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_python_example_runs(tones, tmp_path, monkeypatch):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.S)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EARMARK_WEIGHTS", "")
    tones.rename(tmp_path / "recordings")
    (tmp_path / "new.wav").write_bytes((tmp_path / "recordings" / "low" / "0.wav").read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1].startswith("new.wav low ")
    assert (tmp_path / "mine.earmark").exists()


def commands() -> list[str]:
    listed = subprocess.run(
        [sys.executable, "-m", "earmark.cli", "--help"], capture_output=True, text=True, check=True
    ).stdout
    return re.findall(r"^  ([a-z]+)  ", listed, re.M)


def test_every_command_is_in_the_readme():
    assert len(commands()) > 5
    missing = [name for name in commands() if f"`earmark {name}" not in README]
    assert not missing


def test_every_backbone_is_in_the_docs():
    text = (ROOT / "docs" / "backbones.md").read_text()
    missing = [n for n in backbones.names() if f"`{n}`" not in text and f"`-{n[-4:]}`" not in text]
    assert not missing


@pytest.mark.parametrize(
    "page", [p.relative_to(ROOT) for p in ROOT.glob("**/*.md") if ".venv" not in p.parts], ids=str
)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
        assert (ROOT / page).parent.joinpath(target).exists(), target
