# Every target sets itself up: a virtual environment in the checkout, nothing else on the machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEV := $(VENV)/.ready

.PHONY: demo test unit check format clean

demo: $(DEV)  ## index a small real corpus and search it in every direction
	$(BIN)/polyseek demo --to .demo

test: $(DEV)  ## the whole test suite
	$(BIN)/pytest

unit: $(DEV)  ## the everyday loop: no model files, no network, seconds
	$(BIN)/pytest -q -n auto -m "not slow and not network and not s3 and not browser and not gpu"

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
