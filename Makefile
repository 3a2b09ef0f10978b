# Two commands are all the set-up a fresh machine needs: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test faults check bench keys snapshots pictures format clean

help:
	@echo "make demo    install into .venv and run projects/quickstart to a sample"
	@echo "make test    the tests"
	@echo "make faults  the tests of faults at full count"
	@echo "make check   formatting, lint, types, import rules"
	@echo "make bench   benchmarks"
	@echo "make snapshots   the screens that tests compare with, taken anew"
	@echo "make pictures    the README's pictures, from real runs"

$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): torch and what it needs are about 1 GB, which takes some minutes."
	$(BIN)/python -m pip install --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/.demo
	$(BIN)/ftstudio run projects/quickstart

# Tests run in parallel; those that are about how long something takes, or take all cores, run alone.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not alone" -n 2 --dist worksteal
	$(BIN)/python -m pytest -m alone

# Every point of every operation and 20,000 invented files, where `make test` tries a few.
FUZZED := tests/unit/test_source_and_options_fuzzed.py
faults: $(VENV)/.dev
	$(BIN)/python -m pytest tests/faults $(FUZZED) --faults=full --examples=20000

check: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python -m tests.benchmarks

# docs/keys.md from the registry of actions.
keys: $(VENV)/.dev
	$(BIN)/python -c "from ftstudio.tui.keymap import keys_page; print(keys_page(), end='')" > docs/keys.md

# Every screen as text, which the tests compare with: look at what changed before you keep it.
snapshots: $(VENV)/.dev
	FTSTUDIO_SNAPSHOTS=update $(BIN)/python -m pytest -q -n 2 tests/tui/test_snapshots.py
	git diff --stat tests/tui/snapshots

# The README's pictures of the studio, from real runs; some minutes.
pictures: $(VENV)/.dev
	$(BIN)/python docs/pictures.py

format: $(VENV)/.dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
