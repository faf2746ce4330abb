# `make demo` and `make test` do everything on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Slow tests load models: two at once fit into 8 GB. Those of a file share what they load, so they stay together.
SLOW_WORKERS ?= 2

.PHONY: demo test test-fast lint bench clean

demo: $(VENV)/.installed
	$(BIN)/llmrec demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto
	$(BIN)/python -m pytest -m slow --numprocesses $(SLOW_WORKERS) --dist loadfile

test-fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/encode.py
	$(BIN)/llmrec demo --workspace .llmrec/demo > /dev/null
	$(BIN)/python benchmarks/recommend.py .llmrec/demo
	$(BIN)/python benchmarks/explain.py .llmrec/demo

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[media]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
