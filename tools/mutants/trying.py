"""Try mutants: import the changed module, run its tests, and write who kills it."""

from __future__ import annotations

import ast
import csv
import importlib.abc
import importlib.util
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from .coverage import Coverage, measure
from .finding import Tests
from .modules import MODULES, path_of
from .mutant import Mutant, equivalents, mutated, rows_of
from .processes import Job, in_turn, run_pytest, start_tests

PATIENCE, GRACE_S = 10, 60.0  # the limit: so many times the seconds of the tests, plus a grace
COLUMNS = ("module", "line", "function", "operator", "before", "after", "killed_by", "seconds")
TOO_SLOW, IMPORT = "too slow", "import of"


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports modules of the package from their trees."""

    def __init__(self, trees: Mapping[str, ast.Module]) -> None:
        self.modules = {
            f"earmark.{module}": (str(path_of(module)), compile(tree, path_of(module), "exec"))
            for module, tree in trees.items()
        }

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.modules:
            return None
        return importlib.util.spec_from_file_location(name, self.modules[name][0], loader=self)

    def exec_module(self, module: Any) -> None:
        exec(self.modules[module.__name__][1], module.__dict__)

    def get_filename(self, name: str) -> str:
        return self.modules[name][0]


class _Judge:
    """A pytest plugin that runs chosen tests in their order and keeps the first that fails."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.place = {test: number for number, test in enumerate(tests)}
        self.killer = ""
        self.n_run = 0

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        chosen = (item for item in items if item.nodeid in self.place)
        items[:] = sorted(chosen, key=lambda item: self.place[item.nodeid])

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.killer = self.killer or f"{IMPORT} {report.nodeid}"

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.n_run += report.when == "call"
        if report.failed:
            self.killer = self.killer or report.nodeid


def judge(trees: Mapping[str, ast.Module], tests: Sequence[str], to: Path, folder: str) -> None:
    """Run tests of changed modules in this forked process, and write the first that fails."""
    start_tests()
    plugin = _Judge(tests)
    sys.meta_path.insert(0, _Loader(trees))
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    code = run_pytest(["-x", *files], plugin, folder)
    if not plugin.killer and code not in (0, 1, 5):
        plugin.killer = f"pytest ended with {code}"
    result = plugin.killer or ("" if plugin.n_run else "no test ran")
    to.write_text(result, encoding="utf-8")


def job_of(mutant: Mutant, tests: Sequence[str], seconds: float) -> Job:
    """Return the job that tries a mutant; its tests take so many seconds without the change."""

    def work(to: Path, folder: str) -> None:
        judge({mutant.module: mutated(mutant.module, mutant.number)}, tests, to, folder)

    return Job(mutant, work, PATIENCE * seconds + GRACE_S)


def check_unchanged(coverage: Coverage) -> None:
    """Stop if a test fails where nothing is changed: it would fail for every mutant."""
    tests, seconds = coverage.quickest()

    def work(to: Path, folder: str) -> None:
        judge({module: mutated(module, -1) for module in MODULES}, tests, to, folder)

    for _, killer, _ in in_turn([Job(None, work, PATIENCE * seconds + GRACE_S)], 1):
        if killer != "":
            raise SystemExit(
                f"The package without a change fails, too: {killer or TOO_SLOW}. Mend this first;"
                " until then, no mutant can be judged."
            )
    print(f"{len(tests)} tests, the quickest of each file, pass without a change.", flush=True)


def _cells(mutant: Mutant) -> tuple[str, ...]:
    """Return what the table says of a mutant before it is tried."""
    return tuple(map(str, astuple(mutant)[:-1]))


def killed_before(path: Path) -> dict[tuple[str, ...], tuple[str, float]]:
    """Return who killed which mutants of an interrupted run, and in how many seconds."""
    rows = rows_of(path) if path.exists() else []
    return {
        tuple(row.values())[:-2]: (row["killed_by"], float(row["seconds"]))
        for row in rows
        if row["killed_by"] not in ("", "equivalent", TOO_SLOW)
    }


class _Table:
    """The table of a run: writes a row for each mutant, and counts the results."""

    def __init__(self, file: Any, n_mutants: int) -> None:
        self.file, self.n_mutants = file, n_mutants
        self.rows = csv.writer(file)
        self.rows.writerow(COLUMNS)
        self.counts = Counter[str]()

    def add(self, mutant: Mutant, result: str, killer: str, seconds: float) -> None:
        self.counts[result] += 1
        self.counts[TOO_SLOW] += killer == TOO_SLOW
        self.counts[IMPORT] += killer.startswith(IMPORT)
        self.rows.writerow([*_cells(mutant), killer, f"{seconds:.1f}"])
        self.file.flush()

    def judge(self, mutant: Mutant, killer: str, seconds: float) -> None:
        killer = "" if killer == "no test ran" else killer
        self.add(mutant, "killed" if killer else "survived", killer, seconds)
        print(
            f"{self.counts['killed'] + self.counts['survived']} of {self.n_mutants}:"
            f" {mutant.module}:{mutant.line} {mutant.operator}: {mutant.after}"
            f" -> {killer or 'SURVIVED'} ({seconds:.0f} s)",
            flush=True,
        )


def try_all(
    mutants: Sequence[Mutant], to: Path, n_beside: int, goes_on: bool = False
) -> Counter[str]:
    """Try mutants, write a row for each, and return how many were killed and survived.

    With ``goes_on``, mutants that an interrupted run killed are not tried again.
    """
    known = equivalents()
    before = killed_before(to) if goes_on else {}
    coverage = measure(n_beside)
    check_unchanged(coverage)
    tests = Tests(coverage)
    to.parent.mkdir(parents=True, exist_ok=True)
    with to.open("w", newline="", encoding="utf-8") as file:
        table = _Table(file, len(mutants))
        jobs = []
        for mutant in mutants:
            own, seconds = tests.of(mutant)
            if mutant.key in known:
                table.add(mutant, "equivalent", "equivalent", 0.0)
            elif _cells(mutant) in before:
                killer, seconds = before[_cells(mutant)]
                table.add(mutant, "killed", killer, seconds)
                table.counts["seconds before"] += round(seconds)
            elif own:
                jobs.append(job_of(mutant, own, seconds))
            else:
                table.add(mutant, "survived", "", 0.0)
        for mutant, killer, seconds in in_turn(jobs, n_beside):
            table.judge(mutant, TOO_SLOW if killer is None else killer, seconds)
    return table.counts
