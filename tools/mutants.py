"""Break the library in one place at a time, and count how often a test notices.

    python tools/mutants.py --seed 0 --count 200

A mutant is the package with one small change in one module: `<` became `<=`, a statement is gone.
A good suite fails for nearly all of them; a mutant that no test notices survives, and says what is
not tested. Nothing in the working tree is changed: a process is forked for each mutant and imports
the changed module from memory. It runs only tests that execute the changed line, quick ones first;
which these are is measured once, and again for each test file that has changed since.

Each mutant is a row of `build/mutants/seed-N.csv`, written at once, so that an interrupted run
leaves what it has found. `tools/equivalent_mutants.csv` lists changes that nobody can notice, with
the reason; they do not count.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import csv
import functools
import hashlib
import importlib.abc
import importlib.util
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SRC, TESTS, BUILD = ROOT / "src", ROOT / "tests", ROOT / "build" / "mutants"
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.csv")
SUMMARY = ROOT / "benchmarks" / "results" / "mutants.csv"
MODULES = {  # what decides and what estimates, and the folders with its tests
    "data.splits": ("data", "training"),
    "data.stratification": ("data",),
    "classifier.calibration": ("classifier", "training"),
    "classifier.decision": ("classifier", "training"),
    "training.average": ("training",),
    "training.baselines": ("training",),
    "training.candidates": ("training", "classifier"),
    "training.estimation": ("training",),
    "training.finalists": ("training",),
    "training.finetuning.judging": ("training",),
    "training.inner": ("training",),
    "training.judging": ("training",),
    "training.learning_curve": ("training",),
    "training.screening": ("training",),
    "training.selection": ("training",),
    "training.unknown": ("training",),
    "training.weighting": ("training",),
    "labelling.corrections": ("labelling",),
    "labelling.reviewing": ("labelling",),
    "labelling.suspects": ("labelling",),
}
PRELOADED = (
    "numpy", "torch", "scipy.sparse.csgraph", "scipy.optimize", "scipy.stats", "sklearn.metrics",
    "sklearn.linear_model", "sklearn.model_selection", "soundfile", "safetensors.numpy", "jinja2",
    "filelock", "huggingface_hub", "rich.console", "typer.testing", "pytest", "hypothesis",
)  # fmt: skip
MOST_SECONDS = 20.0  # of unmutated tests that one mutant is given
PATIENCE, GRACE_S = 10, 60.0  # times as long as the tests compute, and so much more: too slow

# ---------------------------------------------------------------------------------- the operators

COMPARED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
COMPUTED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
}  # fmt: skip
SWAPPED = dict(
    pair
    for a, b in (
        ("min", "max"), ("any", "all"), ("argmin", "argmax"), ("floor", "ceil"),
        ("minimum", "maximum"), ("zeros", "ones"),
    )
    for pair in ((a, b), (b, a))
)  # fmt: skip
SILENT = {"__repr__", "__str__"}


@dataclass(frozen=True)
class Mutant:
    """One change: where it is, what the lines say ``before`` and ``after``; ``number`` is its place
    among those of the module."""

    module: str
    line: int
    function: str
    operator: str
    before: str
    after: str
    number: int = -1

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What stays the same when lines move."""
        return self.module, self.function, self.before, self.after


class _Change(NamedTuple):
    operator: str
    node: ast.AST  # whose lines are shown
    shown: str  # what stands there then
    apply: Callable[[], None]  # changes the tree
    spot: ast.stmt  # the statement around it
    function: str


def _is_text(node: ast.AST | None) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr)


def _is_reversible(test: ast.expr) -> bool:
    """Say whether another operator negates a test already."""
    if isinstance(test, ast.Compare):
        return len(test.ops) == 1 and isinstance(
            test.ops[0], (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
        )
    return isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)


def _is_typing(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and (
        node.test.id == "TYPE_CHECKING"
    )  # fmt: skip


def _changes(tree: ast.Module) -> Iterator[_Change]:
    """Yield every change of a module; each is made by ``apply``, in the tree itself."""

    def statements(body: list[ast.stmt], function: str) -> Iterator[_Change]:
        for place, node in enumerate(body):
            if isinstance(node, (ast.Import, ast.ImportFrom)) or _is_typing(node):
                continue
            if isinstance(node, ast.Expr) and _is_text(node.value):
                continue  # a docstring
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                if node.name not in SILENT:
                    inner = f"{function}.{node.name}".lstrip(".")
                    if isinstance(node, ast.FunctionDef):
                        yield from expressions(node.args, node, inner)
                    yield from statements(node.body, inner)
                continue
            yield from removal(body, place, function)
            if isinstance(node, ast.Raise):
                continue
            for name, value in ast.iter_fields(node):
                if name in ("body", "orelse", "finalbody"):
                    yield from statements(value, function)
                elif name == "handlers":
                    for handler in value:
                        yield from statements(handler.body, function)
                elif name == "items":
                    for item in value:
                        yield from expressions(item, node, function)
                elif name != "annotation":
                    yield from parts(node, name, value, node, function)
            if isinstance(node, (ast.If, ast.While)) and not _is_reversible(node.test):
                yield negation(node, "test", node, function)
            is_sum = isinstance(node, ast.AugAssign) and type(node.op) in COMPUTED
            if is_sum and not _is_text(node.value):
                yield operation(node, node, function)

    def removal(body: list[ast.stmt], place: int, function: str) -> Iterator[_Change]:
        node = body[place]
        is_effect = (
            (isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.YieldFrom)))
            or (isinstance(node, ast.AugAssign) and not _is_text(node.value))
            or (
                isinstance(node, ast.Assign)
                and not isinstance(node.targets[0], (ast.Name, ast.Tuple))
            )
            or isinstance(node, (ast.Raise, ast.Continue, ast.Break, ast.Delete))
        )
        if is_effect:
            gone = ast.copy_location(ast.Pass(), node)
            shown = "pass"
            yield _Change(
                "statement removed",
                node,
                shown,
                lambda: body.__setitem__(place, gone),
                node,
                function,
            )
        value = node.value if isinstance(node, ast.Return) else None
        is_none = value is None or (isinstance(value, ast.Constant) and value.value is None)
        if not is_none and not _is_text(value):
            none = ast.copy_location(ast.Return(ast.copy_location(ast.Constant(None), node)), node)
            yield _Change(
                "return value",
                node,
                "return None",
                lambda: body.__setitem__(place, none),
                node,
                function,
            )

    def put(owner: ast.AST, name: str, new: Any) -> Callable[[], None]:
        return lambda: setattr(owner, name, new)

    def replaced(owner: ast.AST, name: str, index: int | None, new: ast.expr) -> Callable[[], None]:
        if index is None:
            return put(owner, name, new)
        return lambda: getattr(owner, name).__setitem__(index, new)

    def negation(owner: ast.AST, name: str, spot: ast.stmt, function: str) -> _Change:
        old = getattr(owner, name)
        new = ast.copy_location(ast.UnaryOp(ast.Not(), old), old)
        return _Change("negation", old, ast.unparse(new), put(owner, name, new), spot, function)

    def operation(node: Any, spot: ast.stmt, function: str) -> _Change:
        other = copy.copy(node)
        other.op = COMPUTED[type(node.op)]()
        return _Change(
            "arithmetic", node, ast.unparse(other), put(node, "op", other.op), spot, function
        )

    def parts(
        owner: ast.AST, name: str, value: Any, spot: ast.stmt, function: str
    ) -> Iterator[_Change]:
        """Yield the changes of one field of ``owner``."""
        children = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for index, child in children:
            if isinstance(child, ast.AST):
                yield from replacements(owner, name, index, child, spot, function)
                yield from expressions(child, spot, function)

    def expressions(node: ast.AST, spot: ast.stmt, function: str) -> Iterator[_Change]:
        """Yield the changes inside of an expression, its parts among them."""
        if isinstance(node, ast.JoinedStr):
            return
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "ctx"):
                continue
            yield from parts(node, name, value, spot, function)
        yield from whole(node, spot, function)

    def replacements(
        owner: ast.AST, name: str, index: int | None, node: ast.AST, spot: ast.stmt, function: str
    ) -> Iterator[_Change]:
        """Yield what may stand in the place of ``node``."""
        news: list[tuple[str, ast.expr]] = []
        if isinstance(owner, ast.keyword) and owner.arg == "strict":
            return  # zip(strict=True) only guards against a mistake that is not there
        if isinstance(node, ast.Constant):
            news += [("constant", ast.Constant(new)) for new in _other_constants(node.value)]
        elif isinstance(node, ast.UnaryOp):
            kinds = {ast.Not: "dropped not", ast.USub: "sign", ast.Invert: "dropped not"}
            is_end = isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)
            if type(node.op) in kinds and not is_end:
                news.append((kinds[type(node.op)], node.operand))
        elif isinstance(node, ast.BoolOp):
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            news.append(("and/or", ast.BoolOp(other, node.values)))
        for operator, new in news:
            ast.copy_location(new, node)
            yield _Change(
                operator, node, ast.unparse(new), replaced(owner, name, index, new), spot, function
            )

    def whole(node: ast.AST, spot: ast.stmt, function: str) -> Iterator[_Change]:
        """Yield changes of the fields of ``node``."""
        if isinstance(node, ast.Compare):
            for index, op in enumerate(node.ops):
                ops = [*node.ops[:index], COMPARED[type(op)](), *node.ops[index + 1 :]]
                other = ast.Compare(node.left, ops, node.comparators)
                yield _Change(
                    "comparison", node, ast.unparse(other), put(node, "ops", ops), spot, function
                )
        elif isinstance(node, ast.BinOp) and type(node.op) in COMPUTED:
            if not _is_text(node):
                yield operation(node, spot, function)
        elif isinstance(node, ast.IfExp) and not _is_reversible(node.test):
            yield negation(node, "test", spot, function)
        elif isinstance(node, ast.comprehension):
            for index, test in enumerate(node.ifs):
                if _is_reversible(test):
                    continue
                new = ast.copy_location(ast.UnaryOp(ast.Not(), test), test)
                ifs = [*node.ifs[:index], new, *node.ifs[index + 1 :]]
                yield _Change(
                    "negation", test, ast.unparse(new), put(node, "ifs", ifs), spot, function
                )
        elif isinstance(node, ast.Slice):
            for name in ("lower", "upper"):
                if getattr(node, name) is not None:
                    other = copy.copy(node)
                    setattr(other, name, None)
                    yield _Change(
                        "slice bound",
                        node,
                        ast.unparse(other),
                        put(node, name, None),
                        spot,
                        function,
                    )
        elif isinstance(node, ast.Call):
            yield from of_call(node, spot, function)

    def of_call(node: ast.Call, spot: ast.stmt, function: str) -> Iterator[_Change]:
        called, name = node.func, "attr" if isinstance(node.func, ast.Attribute) else "id"
        old = getattr(called, name, None)
        if old in SWAPPED:
            other = copy.deepcopy(node)
            setattr(other.func, name, SWAPPED[old])
            yield _Change(
                "swap", node, ast.unparse(other), put(called, name, SWAPPED[old]), spot, function
            )
        for index, keyword in enumerate(node.keywords):
            value = keyword.value
            is_bound = isinstance(value, (ast.Constant, ast.UnaryOp))
            if keyword.arg is None or keyword.arg == "strict" or not is_bound:
                continue
            rest = [*node.keywords[:index], *node.keywords[index + 1 :]]
            other = ast.Call(node.func, node.args, rest)
            yield _Change(
                "keyword dropped",
                node,
                ast.unparse(other),
                put(node, "keywords", rest),
                spot,
                function,
            )

    yield from statements(tree.body, "")


def _other_constants(value: object) -> list[object]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    return [value * 2, value / 2] if isinstance(value, float) and value else []


def path_of(module: str) -> Path:
    """Return the source file of one of the MODULES."""
    return SRC / "earmark" / f"{module.replace('.', '/')}.py"


def read_source(module: str) -> str:
    """Return the text of a module."""
    with tokenize.open(path_of(module)) as file:
        return file.read()


def _lines_of(source: str, node: ast.AST, shown: str | None = None) -> str:
    """Return the lines of a node as one, with ``shown`` in its place."""
    lines = source.encode().splitlines()
    first, last = node.lineno - 1, node.end_lineno - 1  # type: ignore[attr-defined]
    if shown is None:
        text = b" ".join(line.strip() for line in lines[first : last + 1])
    else:
        head = lines[first][: node.col_offset]  # type: ignore[attr-defined]
        tail = lines[last][node.end_col_offset :]  # type: ignore[attr-defined]
        text = head + shown.encode() + tail
    return " ".join(text.decode().split())


def mutants_of(module: str, source: str | None = None) -> list[Mutant]:
    """Return every mutant of a module, in the order of its source."""
    source = read_source(module) if source is None else source
    found = []
    for number, change in enumerate(_changes(ast.parse(source))):
        before, after = _lines_of(source, change.node), _lines_of(source, change.node, change.shown)
        line = change.node.lineno  # type: ignore[attr-defined]
        found.append(Mutant(module, line, change.function, change.operator, before, after, number))
    return [mutant for mutant in found if mutant.before != mutant.after]


def mutated(module: str, number: int, source: str | None = None) -> ast.Module:
    """Return the tree of a module after its change of this number."""
    tree = ast.parse(read_source(module) if source is None else source)
    next(change for n, change in enumerate(_changes(tree)) if n == number).apply()
    return ast.fix_missing_locations(tree)


def rows_of(path: Path = EQUIVALENT) -> list[dict[str, str]]:
    """Return the rows of the list of equivalent mutants."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def equivalents(path: Path = EQUIVALENT) -> dict[tuple[str, str, str, str], str]:
    """Return why each listed mutant cannot be noticed, by :attr:`Mutant.key`."""
    rows = rows_of(path)
    return {(r["module"], r["function"], r["before"], r["after"]): r["reason"] for r in rows}


# ------------------------------------------------------------------------- which test runs a line

Keys = set[tuple[str, int]]  # module and line


class _Recorder:
    """A pytest plugin that notes which lines each test executes, and how long it takes.

    What a fixture of a module executes counts for each of the tests that use it.
    """

    def __init__(self) -> None:
        self.files = {str(path_of(module)): module for module in MODULES}
        self.current: Keys = set()
        self.fixtures: dict[str, tuple[Keys, float]] = {}
        self.tests: dict[str, dict[str, Any]] = {}
        self.bad: set[str] = set()

    def trace(self, frame: Any, event: str, argument: Any) -> Any:
        module = self.files.get(frame.f_code.co_filename)
        if module is None:
            return None

        def local(frame: Any, event: str, argument: Any) -> Any:
            if event == "line":
                self.current.add((module, frame.f_lineno))
            return local

        return local

    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> None:
        self.current = set()
        self.start, self.lent = time.process_time(), 0.0

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        self.tests.setdefault(nodeid, {})["seconds"] = time.process_time() - self.start - self.lent
        self.tests[nodeid]["lines"] = sorted(self.current)

    def pytest_runtest_setup(self, item: Any) -> None:
        self.tests.setdefault(item.nodeid, {})["fixtures"] = list(item.fixturenames)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if not report.passed:
            self.bad.add(report.nodeid)

    def result(self) -> dict[str, Any]:
        names = {name: sorted(lines) for name, (lines, _) in self.fixtures.items()}
        for test in self.tests.values():
            test["fixtures"] = [n for n in test.get("fixtures", []) if n in names]
        tests = {name: test for name, test in self.tests.items() if name not in self.bad}
        seconds = {name: s for name, (_, s) in self.fixtures.items()}
        return {"tests": tests, "fixtures": names, "seconds": seconds, "bad": sorted(self.bad)}


def _recorder() -> _Recorder:
    import pytest

    class Recorder(_Recorder):
        @pytest.hookimpl(hookwrapper=True)
        def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
            if fixturedef.scope == "function":
                yield
                return
            outer, self.current, start = self.current, set(), time.process_time()
            yield
            lines, seconds = self.fixtures.get(fixturedef.argname, (set(), 0.0))
            spent = time.process_time() - start
            self.fixtures[fixturedef.argname] = lines | self.current, seconds + spent
            self.lent += spent
            self.current = outer | self.current

    return Recorder()


def _start_tests() -> None:
    """Prepare this process, a forked one, to run tests quietly and alike each time."""
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silent, descriptor)
    os.chdir(ROOT)
    sys.path.insert(0, str(SRC))
    sys.dont_write_bytecode = True
    with contextlib.suppress(ImportError):
        from hypothesis import Phase, settings

        phases = (Phase.explicit, Phase.generate)  # a failure need not be made small
        settings.register_profile(
            "mutants", phases=phases, derandomize=True, database=None, deadline=None
        )
        settings.load_profile("mutants")


def _pytest(arguments: Sequence[str], plugin: object, folder: str) -> int:
    import pytest

    base = ["-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={folder}/t"]
    return int(pytest.main([*base, *arguments], plugins=[plugin]))


def _measure(file: str, to: Path, folder: str) -> None:
    """Write down which lines the tests in ``file`` execute."""
    _start_tests()
    recorder = _recorder()
    threading.settrace(recorder.trace)
    sys.settrace(recorder.trace)
    _pytest([file], recorder, folder)
    sys.settrace(None)
    part = to.with_suffix(".part")
    part.write_text(json.dumps(recorder.result()), encoding="utf-8")
    part.replace(to)


def _test_files() -> list[str]:
    rooms = sorted({room for several in MODULES.values() for room in several})
    files = [path for room in rooms for path in sorted((TESTS / room).glob("test_*.py"))]
    return [path.relative_to(ROOT).as_posix() for path in files]


def _digest(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


@dataclass
class Coverage:
    """Which tests execute a line, and how long each takes."""

    by_line: dict[tuple[str, int], set[str]]
    seconds: dict[str, float]
    fixtures: dict[str, list[tuple[str, float]]]
    n_lines: dict[str, int]

    @classmethod
    def read(cls, paths: dict[str, Path]) -> Coverage:
        by_line: dict[tuple[str, int], set[str]] = {}
        seconds, fixtures, n_lines = {}, {}, {}
        for file, path in paths.items():
            if not path.exists():
                print(f"{file} could not be measured and is left out", file=sys.stderr)
                continue
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["bad"]:
                print(f"{file}: {len(found['bad'])} tests fail or are skipped", file=sys.stderr)
            for test, of in found["tests"].items():
                seconds[test] = of["seconds"]
                fixtures[test] = [(f"{file}:{n}", found["seconds"][n]) for n in of["fixtures"]]
                lines = [of["lines"], *(found["fixtures"][n] for n in of["fixtures"])]
                n_lines[test] = 1 + sum(map(len, lines))
                for module, line in (tuple(pair) for several in lines for pair in several):
                    by_line.setdefault((module, line), set()).add(test)
        return cls(by_line, seconds, fixtures, n_lines)

    def tests_of(self, module: str, lines: range) -> set[str]:
        return set().union(*(self.by_line.get((module, line), set()) for line in lines))

    def plan(self, tests: set[str]) -> tuple[list[str], float]:
        """Return the likeliest tests, file by file, of MOST_SECONDS at most; and their seconds.

        Quick tests that execute few lines come first: they were written for these lines.
        """
        chosen: list[str] = []
        shared: dict[str, float] = {}
        spent = 0.0
        for test in sorted(tests, key=lambda test: (self.seconds[test] * self.n_lines[test], test)):
            fixtures = dict(self.fixtures[test])
            cost = self.seconds[test] + sum(
                seconds for name, seconds in fixtures.items() if name not in shared
            )
            if not chosen or spent + cost <= MOST_SECONDS:
                chosen.append(test)
                shared |= fixtures
                spent += cost
        files = list(dict.fromkeys(test.partition("::")[0] for test in chosen))
        return sorted(chosen, key=lambda test: files.index(test.partition("::")[0])), spent


def _spots(module: str, source: str) -> dict[int, tuple[range, bool, set[str]]]:
    """Return for each change its lines, whether they run at import, and the names they bind."""
    tree, spots = ast.parse(source), {}
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for number, change in enumerate(_changes(tree)):
        node, names = change.spot, set[str]()
        end = node.end_lineno or node.lineno
        if isinstance(node, ast.FunctionDef):  # a default
            lines, is_import = range(node.body[0].lineno, end + 1), False
        else:
            inner = getattr(node, "body", None)
            end = inner[0].lineno - 1 if inner else end
            lines = range(node.lineno, max(node.lineno, end) + 1)
            is_import = not change.function or change.function in classes
            if is_import:
                stored = (n for n in ast.walk(node) if isinstance(n, ast.Name))
                names = {n.id for n in stored if isinstance(n.ctx, ast.Store)}
        spots[number] = lines, is_import, names
    return spots


class Tests:
    """Finds the tests of a mutant."""

    def __init__(self, coverage: Coverage) -> None:
        self.coverage = coverage
        self.sources = {module: read_source(module) for module in MODULES}
        self.spots = {module: _spots(module, text) for module, text in self.sources.items()}

    def of(self, mutant: Mutant) -> tuple[list[str], float]:
        """Return the tests of a mutant and how long they take."""
        lines, is_import, names = self.spots[mutant.module][mutant.number]
        tests = self.coverage.tests_of(mutant.module, lines)
        if is_import:
            tests |= self._by_name(names) | self._naming(names)
        return self.coverage.plan(tests or self._of_module(mutant.module))

    def _of_module(self, module: str) -> set[str]:
        return self.coverage.tests_of(module, range(1, self.sources[module].count("\n") + 2))

    def _naming(self, names: set[str]) -> set[str]:
        """Return the tests in whose own text one of the names stands, as in a test of a limit."""
        tests: set[str] = set()
        for test in self.coverage.seconds:
            file, _, name = test.partition("::")
            tests |= (
                {test} if names & self._words(file).get(name.partition("[")[0], set()) else set()
            )
        return tests

    @staticmethod
    @functools.cache
    def _words(file: str) -> dict[str, set[str]]:
        """Return the names that each test function of a file has in it."""
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        return {
            node.name: {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(node)}
            for node in tree.body
            if isinstance(node, ast.FunctionDef)
        }

    def _by_name(self, names: set[str]) -> set[str]:
        """Return the tests of the statements that use what a module's own statement binds."""
        tests: set[str] = set()
        for module, source in self.sources.items():
            for node in ast.walk(ast.parse(source)):
                name = getattr(node, "id", getattr(node, "attr", None))
                if name in names and isinstance(node, (ast.Name, ast.Attribute)):
                    tests |= self.coverage.tests_of(module, range(node.lineno, node.lineno + 1))
        return tests


# ------------------------------------------------------------------------------- running a mutant


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module of the package from a changed tree."""

    def __init__(self, module: str, tree: ast.Module) -> None:
        self.name, self.path = f"earmark.{module}", str(path_of(module))
        self.code = compile(tree, self.path, "exec")

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def exec_module(self, module: Any) -> None:
        exec(self.code, module.__dict__)

    def get_filename(self, name: str) -> str:
        return self.path


class _Judge:
    """A pytest plugin that runs chosen tests in their order and keeps the first that fails."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.place = {test: number for number, test in enumerate(tests)}
        self.killer = ""
        self.n_run = 0

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self.place),
            key=lambda item: self.place[item.nodeid],
        )

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.killer = self.killer or f"import of {report.nodeid}"

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.n_run += report.when == "call"
        if report.failed:
            self.killer = self.killer or report.nodeid


def _try(mutant: Mutant, tests: Sequence[str], to: Path, folder: str) -> None:
    """Run the tests of a mutant in this process, a forked one, and write who kills it."""
    _start_tests()
    judge = _Judge(tests)
    if mutant.number >= 0:
        sys.meta_path.insert(0, _Loader(mutant.module, mutated(mutant.module, mutant.number)))
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    code = _pytest(["-x", *files], judge, folder)
    if not judge.killer and code not in (0, 1, 5):
        judge.killer = f"pytest ended with {code}"
    result = judge.killer or ("" if judge.n_run else "no test ran")
    to.write_text(result, encoding="utf-8")


class Job(NamedTuple):
    """What a process forked for it does, and for how many seconds at most."""

    name: Any
    work: Callable[[Path, str], None]
    limit_s: float


def in_turn(jobs: Sequence[Job], n_beside: int) -> Iterator[tuple[Any, str | None, float]]:
    """Fork a process for each job, ``n_beside`` at a time; yield what it wrote, None if it was
    too slow, and its seconds. On Ctrl-C all of them end."""
    running: dict[int, tuple[Job, float, str]] = {}
    waiting = list(reversed(jobs))
    try:
        while waiting or running:
            while waiting and len(running) < n_beside:
                job, folder = waiting.pop(), tempfile.mkdtemp(prefix="mutant-")
                process = os.fork()
                if process == 0:
                    status = 1
                    try:
                        job.work(Path(folder) / "result", folder)
                        status = 0
                    finally:
                        os._exit(status)
                running[process] = job, time.monotonic(), folder
            time.sleep(0.02)
            for process, (job, start, folder) in list(running.items()):
                seconds = time.monotonic() - start
                ended, status = os.waitpid(process, os.WNOHANG)
                if not ended and seconds <= job.limit_s:
                    continue
                if not ended:
                    _end(process)
                result = Path(folder) / "result"
                text = result.read_text(encoding="utf-8") if result.exists() else "the process died"
                del running[process]
                shutil.rmtree(folder, ignore_errors=True)
                yield job.name, text if ended else None, seconds
    finally:
        for process, (_, _, folder) in running.items():
            _end(process)
            shutil.rmtree(folder, ignore_errors=True)


def _end(process: int) -> None:
    for end in (
        lambda: os.killpg(process, signal.SIGKILL),
        lambda: os.kill(process, signal.SIGKILL),
    ):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, 0)


def measure(n_beside: int) -> Coverage:
    """Return which tests execute which lines; files that did not change are not run again."""
    folder = BUILD / "lines"
    folder.mkdir(parents=True, exist_ok=True)
    helpers = [path for path in sorted(TESTS.glob("*.py")) if not path.name.startswith("test_")]
    common = [*map(path_of, MODULES), *helpers]
    paths = {
        file: folder / f"{Path(file).stem}-{_digest(*common, ROOT / file)}.json"
        for file in _test_files()
    }
    stale = [file for file, path in paths.items() if not path.exists()]

    def job(file: str) -> Job:
        return Job(file, lambda _, to: _measure(file, paths[file], to), 600.0)

    for number, (file, _, seconds) in enumerate(in_turn([job(f) for f in stale], n_beside)):
        print(f"measured {number + 1} of {len(stale)}: {file}, {seconds:.0f} s", flush=True)
    return Coverage.read(paths)


def _preload() -> None:
    """Import what every mutant needs, so that no forked process has to; nothing of the package."""
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if any(name.partition(".")[0] == "earmark" for name in sys.modules):
        raise SystemExit("the package is imported already; no change of it would be seen")


COLUMNS = ("module", "line", "function", "operator", "before", "after", "killed_by", "seconds")


def killed_before(path: Path) -> dict[tuple[str, str, str, str], tuple[str, float]]:
    """Return who killed which mutants in an earlier table, and in how many seconds."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {
            (row["module"], row["function"], row["before"], row["after"]): (
                row["killed_by"],
                float(row["seconds"]),
            )
            for row in csv.DictReader(file)
            if row["killed_by"] not in ("", "equivalent", "too slow")
        }


def try_all(
    mutants: Sequence[Mutant], to: Path, n_beside: int, goes_on: bool = False
) -> Counter[str]:
    """Try mutants, write a row for each, and return how many were killed and survived.

    Where it ``goes_on``, mutants that an interrupted run has killed are not tried again.
    """
    known, counts = equivalents(), Counter[str]()
    before = killed_before(to) if goes_on else {}
    tests = Tests(measure(n_beside))
    jobs = []
    for mutant in mutants:
        own, seconds = tests.of(mutant)

        def work(result: Path, folder: str, mutant: Mutant = mutant, own: list[str] = own) -> None:
            _try(mutant, own, result, folder)

        if own and mutant.key not in known and mutant.key not in before:
            jobs.append(Job(mutant, work, PATIENCE * seconds + GRACE_S))
    to.parent.mkdir(parents=True, exist_ok=True)
    with to.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)

        def write(mutant: Mutant, killer: str, seconds: float) -> None:
            table.writerow([*astuple(mutant)[:-1], killer, f"{seconds:.1f}"])
            file.flush()

        for mutant in mutants:
            if mutant.key in known:
                counts["equivalent"] += 1
                write(mutant, "equivalent", 0.0)
            elif mutant.key in before:
                counts["killed"] += 1
                counts["seconds before"] += round(before[mutant.key][1])
                write(mutant, *before[mutant.key])
            elif all(job.name is not mutant for job in jobs):
                counts["survived"] += 1
                write(mutant, "", 0.0)
        for mutant, killer, seconds in in_turn(jobs, n_beside):
            killer = "too slow" if killer is None else killer
            if killer == "no test ran":
                killer = ""
            counts["too slow"] += killer == "too slow"
            counts["killed" if killer else "survived"] += 1
            write(mutant, killer, seconds)
            done = counts["killed"] + counts["survived"]
            print(
                f"{done} of {len(mutants)}: {mutant.module}:{mutant.line} {mutant.operator}:"
                f" {mutant.after} -> {killer or 'SURVIVED'} ({seconds:.0f} s)",
                flush=True,
            )
    return counts


def sampled(seed: int, count: int, modules: Sequence[str] = tuple(MODULES)) -> list[Mutant]:
    """Return ``count`` mutants of all, the same for the same seed and source."""
    every = [mutant for module in modules for mutant in mutants_of(module)]
    return random.Random(seed).sample(every, min(count, len(every)))


def survivors(path: Path) -> list[Mutant]:
    """Return the mutants that survived in an earlier run and are still there."""
    with path.open(newline="", encoding="utf-8") as file:
        keys = {
            (row["module"], row["function"], row["before"], row["after"])
            for row in csv.DictReader(file)
            if not row["killed_by"]
        }
    return [m for module in MODULES for m in mutants_of(module) if m.key in keys]


def summarise(row: dict[str, object]) -> None:
    """Add the figures of a seed to the results, in place of those of an earlier run."""
    rows = []
    if SUMMARY.exists():
        with SUMMARY.open(newline="", encoding="utf-8") as file:
            rows = [r for r in csv.DictReader(file) if r["seed"] != str(row["seed"])]
    with SUMMARY.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(row), lineterminator="\n")
        table.writeheader()
        table.writerows(sorted([*rows, row], key=lambda r: int(str(r["seed"]))))


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=200, help="of mutants that are tried")
    parser.add_argument("--module", action="append", choices=MODULES, help="only of this module")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="side by side")
    parser.add_argument("--again", type=Path, help="try the survivors of an earlier table")
    parser.add_argument("--go-on", action="store_true", help="keep what an interrupted run killed")
    parser.add_argument("--measure", action="store_true", help="which tests run which lines, only")
    parser.add_argument("--list", action="store_true", help="print the mutants, and try none")
    parser.add_argument("--record", action="store_true", help="write a row of the results")
    options = parser.parse_args()
    if options.again:
        mutants = survivors(options.again)
    else:
        mutants = sampled(options.seed, options.count, options.module or tuple(MODULES))
    if options.list:
        for mutant in mutants:
            print(f"{mutant.module}:{mutant.line} {mutant.before} -> {mutant.after}")
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    start = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM):  # in the background, a shell has them ignored
        signal.signal(number, signal.default_int_handler)
    _preload()
    if options.measure:
        measure(options.jobs)
        return
    to = BUILD / ("again.csv" if options.again else f"seed-{options.seed}.csv")
    counts = try_all(mutants, to, options.jobs, options.go_on)
    minutes = (time.monotonic() - start + counts["seconds before"] / options.jobs) / 60
    judged = counts["killed"] + counts["survived"]
    print(
        f"{counts['killed']} of {judged} mutants killed ({counts['killed'] / max(1, judged):.1%}),"
        f" {counts['too slow']} of them for taking too long; {counts['survived']} survived;"
        f" {counts['equivalent']} more are equivalent; {minutes:.1f} minutes; {to}"
    )
    if options.record:
        summarise(
            {
                "seed": options.seed,
                "mutants": len(mutants),
                "killed": counts["killed"],
                "too_slow": counts["too slow"],
                "survived": counts["survived"],
                "equivalent": counts["equivalent"],
                "killed_share": f"{counts['killed'] / max(1, judged):.3f}",
                "minutes": f"{minutes:.0f}",
            }
        )


if __name__ == "__main__":
    main()
