# Two commands: `make demo` runs the workflow on the embedded patients, `make test` runs the tests.
# Either sets up the environment in .venv first, once.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RESULTS := results

.PHONY: demo test lint format lock schema help

help:
	@echo "make demo    the whole workflow on the embedded patients; prints the evaluation table"
	@echo "make test    all tests"
	@echo "make lint    style: ruff, snakefmt, snakemake --lint"

$(READY): requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11) and "Python 3.11 or later is needed; name it: make PYTHON=/path/to/python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	touch $@

demo: $(READY)
	$(BIN)/snakemake --cores all
	@cat $(RESULTS)/evaluation/summary.md

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

schema: $(READY)
	$(BIN)/python -m workflow_scripts.configuration

lock:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --requirement requirements.in
	{ echo "# Written by 'make lock' from requirements.in."; $(BIN)/python -m pip freeze | sed 's/+cpu$$//'; } > requirements.lock
