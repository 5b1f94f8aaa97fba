# Everything needs only Python >= 3.10, make and the package registry.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Errors only: pip repeats for every package that it found no index where one is configured.
PIP := $(BIN)/python -m pip install --quiet --quiet --constraint constraints.txt
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

export PIP_DISABLE_PIP_VERSION_CHECK ?= 1
export PIP_ROOT_USER_ACTION ?= ignore
# Threads that wait must not spin: with a busy neighbour that costs a factor of ten.
export OMP_WAIT_POLICY ?= passive

.PHONY: demo test test-browser test-slow check docs docs-links dist bench mutants clean
.DEFAULT_GOAL := demo

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "environment: installing earmark into $(VENV), which takes minutes and happens once"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --editable '.[dev]'
	@$(PIP) --no-deps torchvggish
	@touch $@

demo: $(VENV)/.installed  ## train, estimate and predict on the shipped example
	@echo "environment: $(VENV) is ready, $$($(BIN)/python --version)"
	@for name in speech-embedding yamnet-float32; do \
		echo "weights: $$name"; \
		$(BIN)/earmark backbones fetch $$name >/dev/null || echo "$$name could not be fetched." >&2; \
	done
	@echo "demo: earmark demo"
	@$(BIN)/earmark demo

CHROMIUM := $(firstword $(shell command -v chromium chromium-browser google-chrome))

test: $(VENV)/.installed  ## the default test suite
	@$(if $(CHROMIUM),,echo "No Chromium: the tests in a browser are skipped. make test-browser installs it and runs them.")
	$(PYTEST)

test-browser: $(VENV)/.installed  ## the tests of the studio in a real browser; installs Chromium on Debian
	@$(if $(CHROMIUM),,apt-get update --quiet=2 && apt-get install --quiet=2 --yes chromium >/dev/null)
	$(PYTEST) -m "slow or not slow" tests/studio/browser

test-slow: $(VENV)/.installed  ## the tests on real recordings and large networks
	$(PYTEST) -m slow

NPM := tools/javascript
$(VENV)/.javascript: $(VENV)/.installed $(NPM)/package-lock.json
	@$(PIP) --editable '.[javascript]'
	@PATH="$(abspath $(BIN)):$$PATH" npm ci --loglevel error --no-audit --no-fund --prefix $(NPM)
	@touch $@

check: $(VENV)/.javascript  ## what CI checks besides the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	for platform in linux darwin win32; do \
		$(BIN)/mypy --platform $$platform --cache-dir .mypy_cache/$$platform || exit 1; \
	done
	$(BIN)/lint-imports
	for place in tsconfig tsconfig.worker tsconfig.worklet; do \
		$(BIN)/node $(NPM)/node_modules/typescript/bin/tsc -p $(NPM)/$$place.json || exit 1; \
	done
	$(BIN)/oxlint --config $(NPM)/oxlint.json src/earmark/apps/studio/page

$(VENV)/.docs: $(VENV)/.installed
	@$(PIP) --editable '.[docs]'
	@touch $@

SPHINX = $(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --nitpicky --fresh-env \
	--doctree-dir build/doctrees

docs: $(VENV)/.docs  ## the site, in build/docs; a dead link or a bad docstring is an error
	rm -rf docs/reference/api  # what is written there for names that are gone
	$(SPHINX) --builder html docs build/docs

docs-links: $(VENV)/.docs  ## ask the network for every link that leads out of the site
	$(SPHINX) --builder linkcheck docs build/links

dist: $(VENV)/.installed  ## build the packages into dist/, look into them, try the wheel elsewhere
	@$(PIP) --editable '.[release]'
	BIN=$(abspath $(BIN)) .ci/dist

bench: $(VENV)/.installed  ## measure; results go to benchmarks/results/
	@$(PIP) --editable '.[bench]'
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/main_job.py

SEED ?= 0
COUNT ?= 200

mutants: $(VENV)/.installed  ## break the library in COUNT places drawn by SEED; count what tests notice
	$(BIN)/python -m tools.mutants --seed $(SEED) --count $(COUNT) --record

clean:  ## remove the environment and what tools leave behind
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist docs/reference/api \
		src/*.egg-info
