# Everything a developer needs; only Python >= 3.11 and make are assumed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements-dev.txt
# A copy of the lock that was installed: comparing contents survives a checkout, which changes times.
INSTALLED := $(VENV)/installed-requirements.txt
ARGS ?=
# Tests mostly wait for the processes they started.
JOBS ?= 3

.PHONY: help venv run test test-js lint audit format bench loadtest chaos lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

venv: ## Create .venv and install the locked dependencies, when they changed
	@if cmp -s $(LOCK) $(INSTALLED) && $(BIN)/python -c '' 2>/dev/null; then exit 0; fi; \
	[ -n "$(PYTHON)" ] && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Python 3.11 or newer is needed (make PYTHON=/path/to/python3.11 …)" >&2; exit 1; }; \
	rm -f $(INSTALLED); \
	$(BIN)/python -c '' 2>/dev/null || { rm -rf $(VENV); echo "Creating $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }; \
	echo "Installing dependencies from $(LOCK) (once, until it changes)"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --prefer-binary -r $(LOCK); \
	cp $(LOCK) $(INSTALLED)

run: venv ## Run everything on PORT (8080): Valkey unless REDIS_URL is set, bridge, gateway
	@exec $(BIN)/python -m ginforge.supervisor --follow-parent

test: venv ## Run the whole test suite (ARGS="-k name" for a part, JOBS=0 for one test after the other)
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --cov --cov-report=term:skip-covered $(ARGS)

test-js: ## Run the browser client's tests alone (part of make test where Node 20 is there)
	@if [ "$$(node -p 'process.versions.node.split(".")[0] >= 20 && "good"' 2>/dev/null)" != good ] || ! command -v npm >/dev/null; then \
	    echo "Skipped: the tests of the browser client need Node 20 and npm"; [ -z "$${CI:-}" ]; exit; fi; \
	cd tests/js; \
	cmp -s package-lock.json node_modules/installed-lock.json || \
	    { npm ci --silent --no-audit --no-fund && cp package-lock.json node_modules/installed-lock.json; }; \
	npm test --silent

lint: venv ## Check style, types and the direction of imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

audit: venv ## Look for known vulnerabilities and dangerous calls
	@$(BIN)/python .ci/audit.py

format: venv ## Format the sources
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

bench: venv ## Benchmark side by side with the peers
	@if [ -d tests/benchmarks ]; then $(BIN)/python -m tests.benchmarks $(ARGS); else echo "There are no benchmarks yet."; fi

loadtest: venv ## Load a running gateway (URL=ws://127.0.0.1:8080/ws)
	@$(BIN)/python manage.py loadtest $(or $(URL),ws://127.0.0.1:$(or $(PORT),8080)/ws) $(ARGS)

chaos: venv ## Break a running deployment on purpose and count what is lost
	@if [ -d tests/chaos ]; then $(BIN)/python -m tests.chaos $(ARGS); else echo "There are no chaos runs yet."; fi

lock: venv ## Resolve pyproject.toml into the lock files again (UPGRADE=--upgrade for newer versions)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'
	@for lock in "$(LOCK) --extra gateway --extra embedded --extra loadtest --group test --group bench --group lint" \
	             "requirements.txt --extra gateway --constraint $(LOCK)"; do \
	    set -- $$lock; target=$$1; shift; \
	    $(BIN)/uv --no-config pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-package uv \
	        --custom-compile-command "make lock" $(UPGRADE) \
	        "$$@" --output-file $$target pyproject.toml; \
	done

clean: ## Remove what make created, but not your database and .env
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis htmlcov .coverage* build *.egg-info
