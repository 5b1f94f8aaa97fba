# Everything needs only Python >= 3.10, make and the package registry.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Threads that wait must not spin: with a busy neighbour that costs a factor of ten.
export OMP_WAIT_POLICY ?= passive

.PHONY: demo test check bench mutants clean
.DEFAULT_GOAL := demo

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps torchvggish
	touch $@

demo: $(VENV)/.installed  ## train, estimate and predict on the shipped example
	@for name in speech-embedding yamnet-float32; do \
		$(BIN)/earmark backbones fetch $$name >/dev/null || echo "$$name could not be fetched." >&2; \
	done
	$(BIN)/earmark demo

test: $(VENV)/.installed  ## the whole default test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

check: $(VENV)/.installed  ## what CI checks besides the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed  ## measure; results go to benchmarks/results/
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/main_job.py

SEED ?= 0
COUNT ?= 200

mutants: $(VENV)/.installed  ## break the library in COUNT places drawn by SEED; count what tests notice
	$(BIN)/python tools/mutants.py --seed $(SEED) --count $(COUNT) --record

clean:  ## remove the environment and what tools leave behind
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build src/*.egg-info
