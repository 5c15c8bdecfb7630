# Every target sets itself up: a virtual environment in the checkout, nothing else on the machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BASE := $(VENV)/.base
DEV := $(VENV)/.ready

# The CPU build of torch comes from the package index where that has one, or from TORCH_INDEX.
TORCH ?= torch==2.13.0
TORCH_INDEX ?=

# Where it is set, hundreds of processes of the tests would each compile what they import.
unexport PYTHONDONTWRITEBYTECODE

# One process per core, and one thread in each; more than eight would cost memory, not save time.
# A file's tests stay together, for they share what is slow to make: servers, a browser, models.
PYTEST := OMP_NUM_THREADS=1 POLYSEEK_THREADS=1 $(BIN)/pytest -q -n auto --maxprocesses 8 --dist loadfile

.PHONY: demo test test-torch unit check format clean

demo: $(or $(wildcard $(DEV)),$(BASE))  ## index a small real corpus and search it in every direction
	$(BIN)/polyseek demo --to .demo

test: $(DEV)  ## the whole test suite but for what needs torch
	@echo "The first run also downloads what is tested: about 300 MB of models, once"
	$(PYTEST) -m "not torch"

test-torch: $(DEV)  ## families that run on torch: installs it, then compares with the libraries
	@echo "Installing $(TORCH) unless it is there: 200 MB if built for the CPU, gigabytes if for GPUs"
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "$(TORCH)"
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable ".[torch]"
	$(PYTEST) -m torch

unit: $(DEV)  ## the everyday loop: no model files, no network, seconds
	$(PYTEST) -m "not slow and not network and not s3 and not browser and not gpu and not torch"

check: $(DEV)  ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(BASE): MB := 275
$(DEV): MB := 650
$(DEV): GROUPS := --group dev
$(BASE) $(DEV): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("polyseek needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV): up to $(MB) MB to download, once; a minute or so"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --editable . $(GROUPS)
	@touch $@

clean:
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache
