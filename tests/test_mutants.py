"""The tool that breaks the library: what it changes, what it leaves alone, and that it kills."""

import ast
import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"
sys.path.insert(0, str(TOOLS))
import mutants  # noqa: E402

SOURCE = '''
"""A docstring with 1 < 2."""
from __future__ import annotations
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import os
LIMIT = 20
class Thing:
    size: tuple[int, 3] = 4
    def __repr__(self) -> str:
        return f"{1 + 1}"
    def act(self, n: Literal[5] = 6) -> int:
        """Say 7."""
        if n < 8 and not self.size:
            raise ValueError(f"{n} > 9")
        self.items[10:].sort(key=str, reverse=True)
        message = f"{n + 11}"
        message += "more"
        return max(n, 12) * 1.5
'''


def changed():
    return mutants.mutants_of("made", SOURCE)


def test_each_kind_of_change_is_made():
    after = [(m.operator, m.after) for m in changed()]
    for operator, text in (
        ("constant", "LIMIT = 21"),
        ("constant", "LIMIT = 19"),
        ("constant", "size: tuple[int, 3] = 5"),
        ("constant", "def act(self, n: Literal[5] = 7) -> int:"),
        ("comparison", "if n <= 8 and not self.size:"),
        ("and/or", "if n < 8 or not self.size:"),
        ("dropped not", "if n < 8 and self.size:"),
        ("negation", "if not (n < 8 and (not self.size)):"),
        ("statement removed", "pass"),
        ("slice bound", "self.items[:].sort(key=str, reverse=True)"),
        ("keyword dropped", "self.items[10:].sort(key=str)"),
        ("constant", "self.items[10:].sort(key=str, reverse=False)"),
        ("swap", "return min(n, 12) * 1.5"),
        ("arithmetic", "return max(n, 12) / 1.5"),
        ("constant", "return max(n, 12) * 3.0"),
        ("constant", "return max(n, 12) * 0.75"),
        ("return value", "return None"),
    ):
        same = [t for o, t in after if o == operator]
        assert text in same


def test_texts_annotations_and_reprs_stay_as_they_are():
    for mutant in changed():
        before = ast.dump(ast.parse(SOURCE))
        assert ast.dump(mutants.mutated("made", mutant.number, SOURCE)) != before
        assert mutant.function in ("", "Thing", "Thing.act")
        for kept in ("tuple[int, 3]", "Literal[5]"):
            assert (kept in mutant.before) == (kept in mutant.after)
        assert "ValueError" not in mutant.before or mutant.after == "pass"
        assert "message" not in mutant.before


def test_every_mutant_of_the_package_compiles():
    for module in mutants.MODULES:
        for mutant in mutants.sampled(1, 15, [module]):
            compile(mutants.mutated(module, mutant.number), module, "exec")
            assert mutant.before != mutant.after


def test_a_seed_draws_the_same_each_time():
    one, same, other = (mutants.sampled(seed, 50) for seed in (0, 0, 1))
    assert one == same != other and len(set(one)) == 50


def test_each_equivalent_mutant_is_there_and_has_a_reason():
    """A line that has changed since is looked at anew: it may be noticed now."""
    every = {m.key: m.operator for module in mutants.MODULES for m in mutants.mutants_of(module)}
    for row in mutants.rows_of():
        key = tuple(row[name] for name in ("module", "function", "before", "after"))
        assert key in every, key
        assert every[key] == row["operator"] and len(row["reason"]) > 15
    assert len(mutants.equivalents()) == len(mutants.rows_of())


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tools!r})
import mutants
mutants._preload()
(mutant,) = [
    m for m in mutants.mutants_of("classifier.decision")
    if "+ 1) * coverage" in m.before and m.operator == "constant" and ") + 2)" in m.after
]
unchanged = mutants.Mutant(mutant.module, 1, "", "", "", "", -1)
test = "tests/classifier/test_decision.py::test_the_rank_of_a_set_counts_the_new_clip_too[9-0.9-9]"
def job(mutant):
    return mutants.Job(
        mutant.number, lambda to, folder: mutants._try(mutant, [test], to, folder), 120.0
    )
for number, killer, _ in mutants.in_turn([job(mutant), job(unchanged)], 1):
    print(number >= 0, killer)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_wrong_rank_is_killed_and_the_right_one_is_not():
    source = mutants.path_of("classifier.decision").read_bytes()
    script = SCRIPT.format(tools=str(TOOLS))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=True
    )
    first, second = done.stdout.splitlines()
    assert first.startswith("True tests/classifier/test_decision.py::") and second == "False "
    assert mutants.path_of("classifier.decision").read_bytes() == source


def test_results_keep_a_row_for_each_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "SUMMARY", tmp_path / "mutants.csv")
    for seed, killed in ((1, 5), (0, 7), (1, 9)):
        mutants.summarise({"seed": seed, "killed": killed})
    with (tmp_path / "mutants.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {"seed": "0", "killed": "7"}, {"seed": "1", "killed": "9"}
        ]  # fmt: skip
