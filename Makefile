PYTHON ?= python3
RESULTS ?= mine
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test lint types slow page check benchmarks mutants clean

run: $(READY)  ## set everything up and run the main job; typed again it goes on where it was
	$(BIN)/python -m bench run --methods mission --tasks tofu --results $(RESULTS)

test: $(READY)  ## set everything up and pass the tests
	$(BIN)/python -m pytest -n auto

slow: $(READY)  ## the tests that take more than a few seconds
	$(BIN)/python -m pytest -n auto --dist loadgroup -m 'slow and not benchmark_suite'

page: $(READY)  ## the report of the committed results, docs/page/index.html
	$(BIN)/python -m bench leaderboard --html docs/page

check: test lint types slow page  ## what CI runs

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

benchmarks: $(READY)  ## side-by-side timings; minutes
	$(BIN)/python -m pytest tests/benchmarks -m '' --benchmark-enable

mutants: $(READY)  ## formulas changed one place at a time: which changes no test sees; hours, typed again it goes on (MUTANTS='bench.stats*' for some)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,mutants]'
	$(BIN)/mutmut run $(MUTANTS)
	$(BIN)/python docs/mutants.py

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 run")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf .venv .cache
