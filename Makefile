# The commands of this project. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup quickstart test test-fast check bench clean

# Compiled modules are kept, also where an image says otherwise: without them each process compiles torch, Ray and vLLM anew, for longer than
# a tiny study takes.
export PYTHONDONTWRITEBYTECODE :=

BIN := .venv/bin
STAMP := .venv/.complete
NOTEBOOKS := $(wildcard notebooks/*.ipynb)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

setup: $(STAMP) ## make .venv from the lock files (PYTHON=... and TORCH_INDEX=... as scripts/setup.sh says)

# The stamp is the last thing that set-up writes; a changed lock makes it again.
$(STAMP): requirements/cpu.txt requirements/cpu-dev.txt
	@scripts/setup.sh

quickstart: $(STAMP) ## a whole study on two CPU cores, in minutes
	$(BIN)/ray-study run sweeps/quickstart.yaml
	@echo "the report is at the path above; the MLflow UI: $(BIN)/ray-study ui sweeps/quickstart.yaml"

# A process a file, two at a time: a process that has been in one Ray cluster is never quite fit for the next, and most of a slow test is
# the start of an engine or of Ray's processes, one import after the other.
test: test-fast ## every test
	grep -rl --include='test_*.py' 'mark\.slow' tests | sort | xargs -P 2 -n 1 $(BIN)/pytest -m slow

# Two processes, each with whole files.
test-fast: $(STAMP) ## the tests that start neither Ray nor an engine
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile

check: $(STAMP) ## lint, format, types, and notebooks without outputs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py
	$(if $(NOTEBOOKS),$(BIN)/nbstripout --verify $(NOTEBOOKS))

bench: $(STAMP) ## every script of benchmarks/, into benchmarks/results.json and a table
	$(BIN)/pip install --quiet --no-deps -r requirements/bench.txt
	$(BIN)/python benchmarks/run_all.py

clean: ## remove .venv and caches; results/ stays
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache build dist ray_study.egg-info
	find . -name __pycache__ -type d -not -path "./.git/*" -prune -exec rm -rf {} +
