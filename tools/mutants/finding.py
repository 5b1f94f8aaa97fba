"""The tests of a mutant: which of them execute the changed line, or use what it defines."""

from __future__ import annotations

import ast
import functools
from typing import NamedTuple

from .coverage import Coverage
from .modules import MODULES, ROOT, read_source
from .mutant import Mutant
from .operators import Change, changes


class _Spot(NamedTuple):
    """The lines of a change, and the names that it binds if it runs at import."""

    lines: range
    is_import: bool
    names: set[str]


def _spot_of(change: Change, classes: set[str]) -> _Spot:
    node, function = change.place
    end = node.end_lineno or node.lineno
    if isinstance(node, ast.FunctionDef):  # a default has effect where the function runs
        return _Spot(range(node.body[0].lineno, end + 1), False, set())
    body = getattr(node, "body", None)
    end = body[0].lineno - 1 if body else end
    names: set[str] = set()
    is_import = not function or function in classes
    if is_import:
        every = (n for n in ast.walk(node) if isinstance(n, ast.Name))
        names = {n.id for n in every if isinstance(n.ctx, ast.Store)}
    return _Spot(range(node.lineno, max(node.lineno, end) + 1), is_import, names)


def _spots(tree: ast.Module) -> list[_Spot]:
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    return [_spot_of(change, classes) for change in changes(tree)]


class Tests:
    """The tests of each mutant."""

    def __init__(self, coverage: Coverage) -> None:
        self.coverage = coverage
        self.trees = {module: ast.parse(read_source(module)) for module in MODULES}
        self.spots = {module: _spots(tree) for module, tree in self.trees.items()}

    def of(self, mutant: Mutant) -> tuple[list[str], float]:
        """Return the tests of a mutant and how many seconds they take."""
        lines, is_import, names = self.spots[mutant.module][mutant.number]
        tests = self.coverage.tests_of(mutant.module, lines)
        if is_import:
            tests |= self._running(names) | self._naming(names)
        return self.coverage.plan(tests or self._of_module(mutant.module))

    def _of_module(self, module: str) -> set[str]:
        last = max(getattr(node, "end_lineno", 0) for node in self.trees[module].body)
        return self.coverage.tests_of(module, range(1, last + 1))

    def _running(self, names: set[str]) -> set[str]:
        """Return the tests that execute a line of the MODULES in which one of the names stands."""
        tests: set[str] = set()
        for module, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, (ast.Name, ast.Attribute)) and _name_of(node) in names:
                    tests |= self.coverage.tests_of(module, range(node.lineno, node.lineno + 1))
        return tests

    def _naming(self, names: set[str]) -> set[str]:
        """Return the tests in whose own code one of the names stands."""
        tests: set[str] = set()
        for test in self.coverage.seconds:
            file, _, name = test.partition("::")
            if names & _names_in(file).get(name.partition("[")[0], set()):
                tests.add(test)
        return tests


@functools.cache
def _names_in(file: str) -> dict[str, set[str]]:
    """Return the names that each test function of a file uses."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return {f.name: {_name_of(node) for node in ast.walk(f)} for f in functions}


def _name_of(node: ast.AST) -> str:
    return getattr(node, "id", getattr(node, "attr", ""))
