"""The rule of the rooms: who may import whom, and what importing costs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENTRIES = 17  # of the package root: modules, rooms, the example


def test_each_room_knows_only_the_rooms_below_it():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "import earmark.data, earmark.data.doctor, earmark.data.known",
        "import earmark.audio",
        "import earmark.backbones; earmark.backbones.registry.check_name('vggish@0.48')",
        "import earmark; earmark.Dataset, earmark.Clip, earmark.list_backbones()",
    ],
)
def test_what_needs_no_network_imports_no_torch(statement: str):
    code = f"import sys; {statement}; print({{'torch', 'transformers'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_package_root_holds_the_rooms_and_little_else():
    root = ROOT / "src" / "earmark"
    entries = [path.name for path in root.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= ENTRIES, entries


def test_a_room_only_hands_on_names():
    for path in (ROOT / "src" / "earmark").glob("*/**/__init__.py"):
        text = path.read_text()
        assert "def " not in text and "class " not in text, path


@pytest.mark.parametrize(
    ("module", "absent"),
    [("server", {"torch", "scipy"}), ("child", {"torch", "fastapi", "typer"})],
)
def test_the_processes_of_the_service_import_only_what_they_need(module: str, absent: set[str]):
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    code = f"import sys, earmark.apps.service.{module}; print({absent} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
