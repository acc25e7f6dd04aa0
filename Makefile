# Each target sets up what it needs; `make run` and `make test` work on a fresh machine.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
# The locks name every package there is to install: nothing has to be resolved. Compiling all of
# their modules takes a third of the time, and most are never imported: the last step compiles ours.
INSTALL := $(PIP) install --no-deps --no-compile
WARM := $(BIN)/python -c 'import apiserver.main, controllers.main, journal.main, ultraplane.cli, ultraplane.up'
ARGS ?=
# Most tests wait for processes, so a few at a time are quicker than the cores tell.
JOBS ?= 3

.DEFAULT_GOAL := help
.PHONY: help run test conformance scaletest faults check format bench lock clean

help: ## Show what can be made.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

run: .venv/.run ## Set up and start the cluster. Options: make run ARGS="--port 7443"
	@$(BIN)/ultraplane up $(ARGS)

test: .venv/.dev ## Run every test; some of them: make test ARGS="tests/unit -k journal"
	@tools/test-tools
	@timeout --kill-after=10 3000 $(BIN)/python -m pytest $(or $(ARGS),-n $(JOBS) --dist loadfile --no-loadscope-reorder)

conformance: .venv/.run ## Test a cluster by upstream's conformance specs: make conformance ARGS="--help"
	@tools/test-tools
	@$(BIN)/ultraplane conformance $(ARGS)

scaletest: .venv/.run ## Replay published scale experiments. Options: make scaletest ARGS="--help"
	@$(BIN)/ultraplane scaletest $(or $(ARGS),--report scaletest-report)

faults: .venv/.dev ## Do faults to clusters and check all answers. Options: make faults ARGS="--help"
	@$(BIN)/python -m tests.faults $(ARGS)

check: .venv/.dev ## Lint, format, types and layers.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.dev ## Put the code in its canonical form.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.dev ## Measure on this machine. Options: make bench ARGS="--help"
	@tools/test-tools
	@$(BIN)/python -m tests.bench $(ARGS)

lock: ## Pin the newest dependencies that pyproject.toml allows.
	@tools/lock

clean: ## Remove everything made here (never the cluster's data).
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: what is installed is newer than what says what to install.
# The compat mode makes a plain path entry: other editable installs add 20 ms to each start.
.venv/.run: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing Ultraplane into .venv (once)."
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-build-isolation --config-settings editable_mode=compat -e .
	@$(WARM)
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.run | $(BIN)/python
	@echo "Installing the test tools into .venv (once)."
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

$(BIN)/python:
	@PYTHON=$(PYTHON) tools/make-venv
