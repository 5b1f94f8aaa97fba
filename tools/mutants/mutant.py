"""Mutants of a module: their list, a sample of it, and the mutants that no test can notice."""

from __future__ import annotations

import ast
import copy
import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .modules import MODULES, read_source
from .operators import BODIES, changes

EQUIVALENT = Path(__file__).with_name("equivalent.csv")
Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Mutant:
    """One change of a module: the line, and the statement ``before`` and ``after``.

    ``number`` is its place among the mutants of the module. The number -1 stands for no change.
    """

    module: str
    line: int
    function: str
    operator: str
    before: str
    after: str
    number: int = -1

    @property
    def key(self) -> Key:
        """Return what stays the same when lines move, or when comments or messages change."""
        return key_of(vars(self))


def key_of(row: Mapping[str, Any]) -> Key:
    """Return :attr:`Mutant.key` of a row of a table."""
    # Versions of Python differ in the brackets that they write.
    before, after = (row[name].replace("(", "").replace(")", "") for name in ("before", "after"))
    return row["module"], row["function"], before, after


class _WithoutMessages(ast.NodeTransformer):
    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        return ast.Constant("")

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        is_message = isinstance(node.value, str) and " " in node.value
        return ast.Constant("") if is_message else node


def text_of(statement: ast.stmt) -> str:
    """Return a statement as one line, without comments, messages and the statements in it."""
    head = copy.copy(statement)
    for field in (*BODIES, "decorator_list"):
        if hasattr(head, field):
            setattr(head, field, [])
    return " ".join(ast.unparse(_WithoutMessages().visit(copy.deepcopy(head))).split())


def mutants_of(module: str, source: str | None = None) -> list[Mutant]:
    """Return every mutant of a module, in the order of its source."""
    mutants = []
    tree = ast.parse(read_source(module) if source is None else source)
    for number, change in enumerate(changes(tree)):
        statement, function = change.place
        before = text_of(statement)
        restore = change.apply()
        after = text_of(change.new if isinstance(change.new, ast.stmt) else statement)
        restore()
        line = change.node.lineno
        mutants.append(Mutant(module, line, function, change.operator, before, after, number))
    return mutants


def mutated(module: str, number: int, source: str | None = None) -> ast.Module:
    """Return the tree of a module after the change of this number; -1 changes nothing."""
    tree = ast.parse(read_source(module) if source is None else source)
    if number >= 0:
        next(change for n, change in enumerate(changes(tree)) if n == number).apply()
    return ast.fix_missing_locations(tree)


def sampled(seed: int, count: int, modules: Sequence[str] = tuple(MODULES)) -> list[Mutant]:
    """Return a random sample of the mutants, the same for the same seed and source."""
    every = [mutant for module in modules for mutant in mutants_of(module)]
    return random.Random(seed).sample(every, min(count, len(every)))


def rows_of(path: Path = EQUIVALENT) -> list[dict[str, str]]:
    """Return the rows of a table."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def equivalents() -> dict[Key, str]:
    """Return the reason why no test can notice a mutant, by :attr:`Mutant.key`."""
    return {key_of(row): row["reason"] for row in rows_of()}


def survivors(path: Path) -> list[Mutant]:
    """Return the mutants that survived in an earlier run and still exist."""
    keys = {key_of(row) for row in rows_of(path) if not row["killed_by"]}
    return [m for module in MODULES for m in mutants_of(module) if m.key in keys]
