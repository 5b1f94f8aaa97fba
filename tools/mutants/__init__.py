"""Break the library in one place at a time, and count how often a test fails.

    python -m tools.mutants --seed 0 --count 200

A mutant is the package with one small change in one module: `<` becomes `<=`, or a statement is
removed. Good tests fail for nearly every mutant. A mutant that fails no test survives. It shows
what is not tested.

The working tree is not changed. Each mutant gets a forked process, which imports the changed module
from memory. It runs only tests that execute the changed line, and quick tests first. Which tests
execute which lines is measured once. It is measured again when a test file or a module changes.

Each mutant is a row of `build/mutants/seed-N.csv`. A row is written as soon as its mutant is tried,
so an interrupted run loses nothing. `tools/mutants/equivalent.csv` lists mutants that no test can
notice, with the reason. They do not count.
"""
