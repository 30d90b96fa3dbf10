# The whole developer interface. `make quickstart` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Warnings in our own C++ and CUDA sources are errors here; a user's pip install only prints them.
export ENERGYBENCH_WERROR ?= 1

NATIVE := setup.py pyproject.toml constraints.txt $(shell find csrc -type f 2>/dev/null)
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: $(shell sed -nE 's/^([a-z-]+):.*\#\#.*/\1/p' $(firstword $(MAKEFILE_LIST)))
help:            ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 24

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "energybench needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)

# The package, its native extension built; what quickstart needs.
$(VENV)/.installed: $(NATIVE) | $(BIN)/python
	$(PIP) --editable .
	@touch $@

# The same with everything the checks and tests need; one installation, since each builds the native modules anew.
$(VENV)/.dev: $(NATIVE) | $(BIN)/python
	$(PIP) --editable '.[dev,networks]'
	@touch $(VENV)/.installed $@

quickstart: $(VENV)/.installed  ## set up, then the whole story on this machine: doctor to report
	$(BIN)/energybench quickstart

test: $(VENV)/.dev  ## set up, then every test that needs no hardware
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

native: $(VENV)/.dev  ## build the native modules in place, only what changed
	$(BIN)/python setup.py --quiet build_ext --inplace

kill-test: $(VENV)/.dev  ## kill a calibration at 1,000 random moments; each must resume to the same table
	$(BIN)/python tests/protocol/kill_many.py 1000

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

codegen: $(VENV)/.dev  ## machine code of every kernel on every rung beside its twin over bare types (about a minute)
	ENERGYBENCH_CODEGEN=all $(BIN)/python -m pytest -q tests/codegen

# A second build, with AddressSanitizer and UBSan, in build/sanitize; the package's own stays as it is. Plain kernels of
# every rung, counting ones of naive and avx2; the other counting kernels are as in the package. Leaks are not looked for: Python keeps memory. The
# tests of cachegrind are left out, which run a program of their own. What is found ends the test's process, and is seen
# because pytest leaves standard error alone.
SANITIZED := LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
	PYTHONSAFEPATH=1 PYTHONPATH=build/sanitize/lib:tests/sanitizers $(BIN)/python
sanitize: $(VENV)/.dev  ## the native kernels' tests under AddressSanitizer and UBSan
	ENERGYBENCH_CUDA=off ENERGYBENCH_SANITIZE=address,undefined $(BIN)/python setup.py --quiet \
		build --build-lib build/sanitize/lib --build-temp build/sanitize/temp
	$(SANITIZED) -m pytest -q -p sanitized_run --override-ini "pythonpath=build/sanitize/lib ." --capture sys \
		--timeout 1800 --numprocesses 2 --dist loadfile --ignore tests/counts/test_cachegrind.py tests/counts tests/parity

mutate: $(VENV)/.dev  ## plant every bug of tests/bugs in a copy and expect its tests to fail
	$(BIN)/python scripts/mutate.py

study-coverage: $(VENV)/.dev  ## planted coefficients of a thousand random virtual devices: coverage, verdicts
	$(BIN)/python benchmarks/study_coverage.py

study-fit: $(VENV)/.dev  ## virtual devices that are not the equation: misfits, errors, coverage
	$(BIN)/python -m benchmarks.study_fit --page

study-meters: $(VENV)/.dev  ## virtual sensors of known truth: coverage and width of windows, beside an oracle
	$(BIN)/python -m benchmarks.study_meters

study-protocol: $(VENV)/.dev  ## virtual devices with every fault of a sensor: 1,000 windows each, docs/study-protocol.md
	$(BIN)/python benchmarks/study_protocol.py 1000 docs/study-protocol.md

study-design: $(VENV)/.dev  ## virtual minutes that choosing windows saves against the grid, on random devices
	$(BIN)/python -m benchmarks.design_study --page docs/protocol.md --picture docs/images/design_study.svg

study-time: $(VENV)/.dev  ## predicted times of networks that were never run beside what they take, on this CPU
	$(BIN)/python -m benchmarks.time_study --page

equation-table: $(VENV)/.dev  ## every equation on every device and data set at hand, into docs/models.md
	$(BIN)/python -m benchmarks.equation_table

bench-fit: $(VENV)/.dev  ## time the fit of 100,000 records and of 1,000 bootstrap replicates
	$(BIN)/python -m benchmarks.fit

bench-kernels: $(VENV)/.dev  ## native CPU kernels beside torch, with peak and stream: docs/bench-kernels.md
	$(BIN)/python -m benchmarks.kernels

bench-meters: .venv-peers/.installed  ## cost of one window beside other tools, on a fake tree in a private mount namespace
	$(BIN)/python benchmarks/meters.py --peers .venv-peers/bin/python

test-amdsmi: .venv-peers/.installed  ## the real package amdsmi on a libamd_smi.so of ours
	.venv-peers/bin/python -m pytest -q tests/meters/test_amdsmi_library.py

# The peers live in an environment of their own, which sees the packages of .venv: the same torch for all.
.venv-peers/.installed: constraints-peers.txt | $(VENV)/.dev
	$(BIN)/python -m venv .venv-peers
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(" + repr(sysconfig.get_paths()["purelib"]) + ")")' \
		> "$$(.venv-peers/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/packages_of_dev.pth"
	.venv-peers/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --requirement constraints-peers.txt
	@touch $@

conformance: .venv-peers/.installed  ## energybench and other counters against exact MACs: docs/conformance.md
	.venv-peers/bin/python -m benchmarks.conformance

bench-count: $(VENV)/.dev  ## time and memory of a count: docs/bench-count.md
	$(BIN)/python -m benchmarks.count_speed

bench-estimate: $(VENV)/.dev  ## time of an estimate, and of opening a large report: docs/bench-estimate.md
	$(BIN)/python -m benchmarks.estimate_speed

bench-watch: $(VENV)/.dev  ## what watching costs a training: docs/bench-watch.md
	$(BIN)/python -m benchmarks.watch

experiments: $(VENV)/.dev  ## run every experiment and write docs/document.md and docs/findings.md
	$(BIN)/energybench experiments run --all
	$(BIN)/energybench experiments page

clean:           ## remove what was built, keep .venv and runs
	rm -rf build *.egg-info energybench/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
