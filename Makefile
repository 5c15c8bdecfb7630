# Every target sets itself up: a virtual environment in the checkout, nothing else on the machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEV := $(VENV)/.ready

# The CPU build of torch comes from the package index where that has one, or from TORCH_INDEX.
TORCH ?= torch==2.13.0
TORCH_INDEX ?=

.PHONY: demo test test-torch unit check format clean

demo: $(DEV)  ## index a small real corpus and search it in every direction
	$(BIN)/polyseek demo --to .demo

test: $(DEV)  ## the whole test suite but for what needs torch
	$(BIN)/pytest -m "not torch"

test-torch: $(DEV)  ## families that run on torch: installs it, then compares with the libraries
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "$(TORCH)"
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable ".[torch]"
	OMP_NUM_THREADS=1 POLYSEEK_THREADS=1 $(BIN)/pytest -q -n auto -m torch

unit: $(DEV)  ## the everyday loop: no model files, no network, seconds
	$(BIN)/pytest -q -n auto -p no:schemathesis -p no:langsmith_plugin -m "not slow and not network and not s3 and not browser and not gpu and not torch"

check: $(DEV)  ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(DEV): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("polyseek needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $(DEV)

clean:
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache
