# The whole developer interface. `make quickstart` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Warnings in our own C++ and CUDA sources are errors here; a user's pip install only prints them.
export ENERGYBENCH_WERROR ?= 1

NATIVE := setup.py pyproject.toml constraints.txt $(shell find csrc -type f 2>/dev/null)
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help quickstart test check format report-picture clean
help:            ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 24

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "energybench needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)

# The package, its native extension built; what quickstart needs.
$(VENV)/.installed: $(NATIVE) | $(BIN)/python
	$(PIP) --editable .
	@touch $@

# The same with everything the checks and tests need.
$(VENV)/.dev: $(VENV)/.installed
	$(PIP) --editable '.[dev,networks]'
	@touch $@

quickstart: $(VENV)/.installed  ## set up, then the whole story on this machine: doctor to report
	$(BIN)/energybench quickstart

test: $(VENV)/.dev  ## set up, then every test that needs no hardware
	$(BIN)/python -m pytest

check: $(VENV)/.dev  ## format, lint, types, layers, exported names
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	find csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu' | sort | xargs $(BIN)/clang-format --dry-run -Werror
	$(BIN)/python -m pytest -q tests/unit/test_exported_names.py

format: $(VENV)/.dev  ## rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	find csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu' | sort | xargs $(BIN)/clang-format -i

clean:           ## remove what was built, keep .venv and runs
	rm -rf build *.egg-info energybench/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
