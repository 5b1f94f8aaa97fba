"""``earmark --version``, alone and with all that a report of a fault must say."""

import importlib.metadata
import re
import subprocess
import sys

import pytest

from command_line import earmark
from earmark.version import __version__


def facts(text):
    """The lines below the first: a list of texts for each name."""
    first, *lines = text.splitlines()
    assert first == f"earmark {__version__}"
    named = {}
    for line in lines:
        name, value = re.fullmatch(r"  (\S(?:.{0,12}\S)?) +(\S.*)", line).groups()
        named.setdefault(name, []).append(value)
    return named


def test_the_version_alone_is_one_line_and_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['earmark', '--version']\n"
        "from earmark.apps import cli\n"
        "try: cli.main()\n"
        "finally: assert not {'torch', 'numpy', 'soundfile'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"earmark {__version__}\n"), done.stderr


def test_verbose_names_packages_machine_weights_and_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EARMARK_WEIGHTS", str(tmp_path))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mn04_as_mAP_432.pt").write_bytes(b"of any content: it is not read")
    named = facts(earmark("--version", "--verbose").stdout)
    assert named["Python"] == [f"{sys.version.split()[0]}, {sys.executable}"]
    for package in ("torch", "numpy", "soundfile", "av"):
        assert named[package][0].startswith(importlib.metadata.version(package))
    assert "libsndfile 1." in named["soundfile"][0] and "libavcodec" in named["av"][0]
    assert named["processor"][0].endswith("for this process") and len(named["GPU"]) == 1
    assert f"efficientat-mn04: {tmp_path / 'sub' / 'mn04_as_mAP_432.pt'}" in named["weights"]
    assert "logmel: part of the installation" in named["weights"]
    assert "vggish" in named["not here"][0].split(", ")
    assert named["cache"] == [f"{tmp_path / 'cache'} (not there yet)"]
    assert f"EARMARK_WEIGHTS={tmp_path}" in named["setting"]


def test_what_cannot_be_imported_is_part_of_the_answer(monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    named = facts(earmark("--version", "--verbose").stdout)
    assert "which cannot be imported: import of soundfile halted" in named["soundfile"][0]
    assert "libavcodec" in named["av"][0]


@pytest.mark.parametrize("more", [(), ("doctor", "recordings")])
def test_verbose_needs_version(more):
    done = earmark("--verbose", *more, expect=2)
    assert done.stderr == "error: --verbose needs --version. Write earmark --version --verbose.\n"
