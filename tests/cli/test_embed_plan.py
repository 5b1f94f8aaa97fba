"""``earmark embed DATA --plan``: what it prints, what it refuses, and that it writes nothing."""

import json
from pathlib import Path

import pytest

from command_line import earmark

pytest.importorskip("pyarrow")


@pytest.fixture(autouse=True)
def _few_weights(monkeypatch, tmp_path):
    """No weights are here but those that come with packages."""
    monkeypatch.setenv("EARMARK_WEIGHTS", str(tmp_path / "none"))


def planned(data: Path, *arguments: object) -> dict:
    options = ("--backbone", "logmel", "--plan", "--json", *arguments)
    return json.loads(earmark("embed", data, *options).stdout)


def test_a_plan_is_for_the_price_and_the_cores_that_were_given(tones):
    before = sorted(tones.rglob("*"))
    one, two = planned(tones, "--cores", 1), planned(tones, "--cores", 2, "--price", 3)
    assert one["clips"] == one["sample"] == 12 and one["parts"] == 1 and one["failures"] == 0
    assert one["seconds"] == {"value": 6.0, "low": 6.0, "high": 6.0}
    work = two["work"]["core_seconds"]["value"]
    assert work > 0 and two["money"] == pytest.approx(work / 3600 * 3)
    assert two["wall_seconds"] - two["start_seconds"] == pytest.approx(work / 2)
    assert one["price"] == 0.04 and one["cores"] == 1
    assert planned(tones, "--sample", 5)["sample"] == 5
    others = {other["backbone"] for other in one["others"]}
    assert "vggish" in one["missing"] and not others & {*one["missing"], "logmel"}
    assert sorted(tones.rglob("*")) == before


def test_the_lines_for_people(tones, monkeypatch):
    done = earmark("embed", tones, "--backbone", "logmel", "--plan", "-o", tones / "out")
    assert done.stdout.startswith("sample     12 of 12 clips, 0 failures; nothing was written\n")
    assert "at 0.04 a core-hour (give yours with --price), without storage" in done.stdout
    assert "note: not compared, because their weights are not on this machine:" in done.stderr
    assert not (tones / "out").exists()
    done = earmark("embed", tones, "--backbone", "logmel", "--plan", "--price", "1")
    assert "at 1 a core-hour (your price)" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--cores", "3", "-o", "x"), "--price, --cores and --sample need --plan. Add it."),
        (
            ("--plan", "--share", "1/2"),
            "--plan is for all parts. Leave out --share, --on and --retry-failed.",
        ),
        ((), "there is no output. Give -o FILE or -o FOLDER, or --plan."),
    ],
)
def test_what_is_refused(tones, words, sentence):
    done = earmark("embed", tones, "--backbone", "logmel", *words, expect=2)
    assert sentence in done.stderr
