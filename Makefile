# One word a task. `make demo` and `make test` need nothing but a CPython 3.11: they make the environment themselves.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Two workers share the cores; more threads inside each would only get in each other's way.
ONE_THREAD := OMP_NUM_THREADS=1
# What the command line asks for by itself; see docs/benchmarks.md.
HUGE_PAGES := GLIBC_TUNABLES=$${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
PYTEST := $(ONE_THREAD) $(HUGE_PAGES) $(BIN)/python -m pytest
BENCH_FLAGS ?= --quick

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint format docs bench wheel venv clean

help: ## Show the words.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

demo: $(READY) ## Run the cat in the warehouse, end to end, and write runs/demo/report.html.
	$(BIN)/worldsim demo --out runs/demo

test: $(READY) ## Run all tests, the slow ones too (two workers).
	$(PYTEST) -n 2 --dist worksteal

test-fast: $(READY) ## Run the tests that take no more than a few seconds each.
	$(PYTEST) -n 2 --dist worksteal -m "not slow"

lint: $(READY) ## Check format, style, types and import rules.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## Rewrite the code in the project's format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## Execute every Python block and every command of README.md and docs/.
	$(PYTEST) tests/test_docs.py

bench: $(READY) ## Run every benchmark (BENCH_FLAGS="" for the published figures).
	@status=0; for name in $$($(BIN)/python -c 'from worldsim.evaluation.bench import BENCHMARKS; print(*BENCHMARKS)'); do \
	  $(ONE_THREAD) $(BIN)/worldsim bench $$name $(BENCH_FLAGS) || status=$$?; \
	done; exit $$status

wheel: $(READY) ## Build dist/*.whl and check what is in it.
	rm -rf build dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .
	$(PYTEST) tests/test_packaging.py

venv: $(READY) ## Make the environment only.

clean: ## Remove what was built (not the environment).
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# PyBullet's wheels stop at CPython 3.11, so that is the version looked for; PYTHON=/path/to/python3.11 names one.
$(READY): setup.cfg pyproject.toml constraints.txt
	@set -e; found=; \
	for candidate in "$(PYTHON)" python3.11 python3 python "$$HOME"/.pyenv/versions/3.11.*/bin/python; do \
	  if [ -n "$$candidate" ] && "$$candidate" -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' \
	    >/dev/null 2>&1; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "worldsim needs CPython 3.11 (PyBullet's wheels stop there). Get it with 'pyenv install 3.11' or" \
	    "'apt-get install python3.11-venv', or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	echo "making $(VENV) with $$("$$found" --version); the first time takes some minutes" >&2; \
	[ -x $(BIN)/python ] || "$$found" -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt setuptools
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation -c constraints.txt -e ".[all]"
	@touch $(READY)
