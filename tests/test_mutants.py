"""The tool that breaks the library: what it changes, what it leaves alone, what it kills."""

import ast
import csv
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tools.mutants import modules, mutant, summary, trying  # noqa: E402

SOURCE = '''
"""A docstring with 1 < 2."""
from __future__ import annotations
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import os
LIMIT = 20
class Thing:
    size: tuple[int, 3] = 4  # a remark
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
    return mutant.mutants_of("made", SOURCE)


def test_each_kind_of_change_is_made():
    after = [(m.operator, m.key[-1]) for m in changed()]  # without brackets
    for operator, text in (
        ("constant", "LIMIT = 21"),
        ("constant", "LIMIT = 19"),
        ("constant", "size: tuple[int, 3] = 5"),
        ("constant", "def act(self, n: Literal[5]=7) -> int:"),
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
        assert (operator, text.replace("(", "").replace(")", "")) in after


def test_texts_annotations_and_reprs_stay_as_they_are():
    before = ast.dump(ast.parse(SOURCE))
    for m in changed():
        assert ast.dump(mutant.mutated("made", m.number, SOURCE)) != before
        assert m.function in ("", "Thing", "Thing.act")
        for kept in ("tuple[int, 3]", "Literal[5]"):
            assert (kept in m.before) == (kept in m.after)
        assert "ValueError" not in m.before or m.after == "pass"
        assert "message" not in m.before
    assert ast.dump(mutant.mutated("made", -1, SOURCE)) == before


def test_a_mutant_keeps_its_key_when_only_comments_and_messages_change():
    source = """
LIMIT = 20  # rows
def act(n):
    if n > LIMIT:
        raise ValueError(f"{n} rows")
    return check(n, "too many rows", kind="row")[0]
"""
    other = source.replace("# rows", "# recordings").replace("rows", "long recordings")
    other = other.replace("LIMIT = 20", "\n# A limit.\nLIMIT = (20)")
    one, same = (mutant.mutants_of("made", text) for text in (source, other))
    assert [m.key for m in one] == [m.key for m in same] and len(one) == 9
    renamed = mutant.mutants_of(
        "made", source.replace("'row'", "'clip'").replace('"row"', '"clip"')
    )
    assert [m.key for m in one] != [m.key for m in renamed]


@pytest.mark.slow
def test_every_mutant_of_the_package_compiles():
    for module in modules.MODULES:
        for m in mutant.sampled(1, 15, [module]):
            compile(mutant.mutated(module, m.number), module, "exec")
            assert m.before != m.after


@pytest.mark.slow
def test_a_seed_draws_the_same_each_time():
    one, same, other = (mutant.sampled(seed, 50) for seed in (0, 0, 1))
    assert one == same != other and len(set(one)) == 50


def test_each_equivalent_mutant_exists_and_has_a_reason():
    """If a listed statement changes, look at it anew: a test may notice the mutant now."""
    every = {m.key: m.operator for module in modules.MODULES for m in mutant.mutants_of(module)}
    for row in mutant.rows_of():
        key = mutant.key_of(row)
        assert key in every, key
        assert every[key] == row["operator"] and len(row["reason"]) > 15
    assert len(mutant.equivalents()) == len(mutant.rows_of())


SCRIPT = """
from tools.mutants import mutant, processes, trying
processes.preload()
(wrong,) = [
    m for m in mutant.mutants_of("classifier.decision")
    if "+ 1) * coverage" in m.before and m.operator == "constant" and ") + 2)" in m.after
]
unchanged = mutant.Mutant(wrong.module, 1, "", "", "", "")
test = "tests/classifier/test_decision.py::test_the_rank_of_a_set_counts_the_new_clip_too[9-0.9-9]"
jobs = [trying.job_of(m, [test], 6.0) for m in (wrong, unchanged)]
for m, killer, _ in processes.in_turn(jobs, 1):
    print(m is wrong, killer)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_wrong_rank_is_killed_and_the_unchanged_package_is_not():
    source = modules.path_of("classifier.decision").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first.startswith("True tests/classifier/test_decision.py::") and second == "False "
    assert modules.path_of("classifier.decision").read_bytes() == source


CHECK = """
from tools.mutants import coverage, processes, trying
processes.preload()
{change}
test = "tests/classifier/test_decision.py::test_the_rank_of_a_set_counts_the_new_clip_too[9-0.9-9]"
trying.check_unchanged(coverage.Coverage({{}}, {{test: 0.1}}, {{test: []}}, {{test: 1}}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ("", 0, "1 tests, the quickest of each file, pass"),
        (
            "trying.mutated = lambda *a: __import__('ast').parse('1 / 0')",
            1,
            "fails, too: import of",
        ),
        ("processes.ROOT = processes.SRC", 1, "fails, too: pytest ended with 4"),
    ],
)
def test_a_run_stops_where_the_unchanged_package_fails(change: str, code: int, text: str):
    """Where helpers or paths are wrong, every mutant would seem to be killed."""
    script = CHECK.format(change=change)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code and text in done.stdout + done.stderr, done


def test_every_test_file_and_helper_of_the_modules_is_there():
    assert {room for several in modules.MODULES.values() for room in several} == {
        Path(file).parts[1] for file in modules.test_files()
    }
    names = {path.relative_to(ROOT).as_posix() for path in modules.shared_files()}
    assert {"tests/conftest.py", "tests/helpers/made_data.py"} <= names
    assert all(modules.path_of(module).is_file() for module in modules.MODULES)


def test_results_keep_a_row_for_each_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(summary, "SUMMARY", tmp_path / "mutants.csv")
    for seed, killed in ((1, 5), (0, 7), (1, 9)):
        summary.summarise(seed, 10, Counter(killed=killed, survived=10 - killed), 2.4)
    with (tmp_path / "mutants.csv").open() as file:
        rows = [(row["seed"], row["killed"], row["killed_share"]) for row in csv.DictReader(file)]
    assert rows == [("0", "7", "0.700"), ("1", "9", "0.900")]


def test_an_interrupted_run_goes_on_with_mutants_that_were_not_killed(tmp_path):
    one, other, *_ = changed()
    with (tmp_path / "seed.csv").open("w", newline="") as file:
        table = trying._Table(file, 3)
        table.add(one, "killed", "tests/a.py::test_a", 2.0)
        table.add(other, "survived", "", 3.0)
        table.add(changed()[2], "killed", trying.TOO_SLOW, 4.0)
    before = trying.killed_before(tmp_path / "seed.csv")
    assert before == {trying._cells(one): ("tests/a.py::test_a", 2.0)}
    assert trying.killed_before(tmp_path / "none.csv") == {}
