"""Which tests execute a line, and how long they take."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .modules import BUILD, MODULES, ROOT, path_of, shared_files, test_files
from .processes import Job, in_turn, run_pytest, start_tests

MOST_SECONDS = 20.0  # the tests of one mutant take so long at most without the change
Lines = set[tuple[str, int]]  # module and line


class _Recorder:
    """A pytest plugin that records the lines and the seconds of each test.

    Lines that a shared fixture executes count for each test that uses the fixture.
    """

    def __init__(self) -> None:
        self.files = {str(path_of(module)): module for module in MODULES}
        self.current: Lines = set()
        self.fixtures: dict[str, tuple[Lines, float]] = {}
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
        self.start, self.fixture_seconds = time.process_time(), 0.0

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        seconds = time.process_time() - self.start - self.fixture_seconds
        self.tests.setdefault(nodeid, {}).update(seconds=seconds, lines=sorted(self.current))

    def pytest_runtest_setup(self, item: Any) -> None:
        self.tests.setdefault(item.nodeid, {})["fixtures"] = list(item.fixturenames)

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
        self.fixture_seconds += spent
        self.current = outer | self.current

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


@dataclass
class Coverage:
    """The tests of each line, the seconds and the shared fixtures of each test."""

    by_line: dict[tuple[str, int], set[str]]
    seconds: dict[str, float]
    fixtures: dict[str, list[tuple[str, float]]]
    n_lines: dict[str, int]

    @classmethod
    def read(cls, paths: dict[str, Path]) -> Coverage:
        """Return what was measured, from one JSON file for each test file."""
        by_line: dict[tuple[str, int], set[str]] = {}
        seconds, fixtures, n_lines = {}, {}, {}
        for file, path in paths.items():
            if not path.exists():
                print(f"{file} could not be measured and is left out.", file=sys.stderr)
                continue
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["bad"]:
                print(
                    f"{file}: {len(record['bad'])} tests fail or are skipped, and are left out.",
                    file=sys.stderr,
                )
            for name, test in record["tests"].items():
                seconds[name] = test["seconds"]
                used = test["fixtures"]
                fixtures[name] = [(f"{file}:{n}", record["seconds"][n]) for n in used]
                lines = [test["lines"], *(record["fixtures"][n] for n in used)]
                n_lines[name] = 1 + sum(map(len, lines))
                for module, line in (tuple(pair) for several in lines for pair in several):
                    by_line.setdefault((module, line), set()).add(name)
        return cls(by_line, seconds, fixtures, n_lines)

    def tests_of(self, module: str, lines: range) -> set[str]:
        """Return the tests that execute one of the lines."""
        return set().union(*(self.by_line.get((module, line), set()) for line in lines))

    def plan(self, tests: set[str]) -> tuple[list[str], float]:
        """Return the tests to run, file by file, and their seconds: MOST_SECONDS at most.

        Quick tests that execute few lines come first. They are the likeliest to test these lines.
        """
        chosen: list[str] = []
        ready: dict[str, float] = {}
        spent = 0.0
        for test in sorted(tests, key=lambda test: (self.seconds[test] * self.n_lines[test], test)):
            fixtures = dict(self.fixtures[test])
            cost = self.seconds[test] + sum(s for name, s in fixtures.items() if name not in ready)
            if not chosen or spent + cost <= MOST_SECONDS:
                chosen.append(test)
                ready |= fixtures
                spent += cost
        files = list(dict.fromkeys(test.partition("::")[0] for test in chosen))
        return sorted(chosen, key=lambda test: files.index(test.partition("::")[0])), spent

    def quickest(self) -> tuple[list[str], float]:
        """Return the quickest test of each file, and their seconds."""
        tests: dict[str, str] = {}
        costs = {t: s + sum(dict(self.fixtures[t]).values()) for t, s in self.seconds.items()}
        for test in sorted(costs, key=lambda test: (costs[test], test)):
            tests.setdefault(test.partition("::")[0], test)
        return list(tests.values()), sum(costs[test] for test in tests.values())


def measure(n_beside: int) -> Coverage:
    """Return which tests execute which lines; run only test files without a valid record."""
    folder = BUILD / "lines"
    folder.mkdir(parents=True, exist_ok=True)
    shared = _digest(*shared_files())
    paths = {
        file: folder / f"{Path(file).stem}-{shared[:8]}-{_digest(ROOT / file)}.json"
        for file in test_files()
    }
    stale = [file for file, path in paths.items() if not path.exists()]

    def job(file: str) -> Job:
        return Job(file, lambda _, folder: _measure(file, paths[file], folder), 600.0)

    for number, (file, _, seconds) in enumerate(in_turn([job(f) for f in stale], n_beside)):
        print(f"measured {number + 1} of {len(stale)}: {file}, {seconds:.0f} s", flush=True)
    return Coverage.read(paths)


def _measure(file: str, to: Path, folder: str) -> None:
    """Write down which lines the tests in ``file`` execute."""
    start_tests()
    recorder = _Recorder()
    threading.settrace(recorder.trace)
    sys.settrace(recorder.trace)
    run_pytest([file], recorder, folder)
    sys.settrace(None)
    part = to.with_suffix(".part")
    part.write_text(json.dumps(recorder.result()), encoding="utf-8")
    part.replace(to)


def _digest(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]
