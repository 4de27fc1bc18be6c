# Everything a person types here. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
UV := $(BIN)/uv
# The system's own certificates, so that a network with an authority of its own works. No user's or machine's
# configuration changes what is installed: hashes decide.
export UV_SYSTEM_CERTS = 1
export UV_NO_PROGRESS = 1
export UV_PYTHON_DOWNLOADS = never
export PIP_DISABLE_PIP_VERSION_CHECK = 1
COMPILE := $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --only-binary :all:

## run: start Watchword here on SQLite; the first time it makes the environment and prints the first administrator's link
.PHONY: run
run: $(STAMPS)/run
	@exec scripts/run

## check: the developer's loop, under three minutes: lint and the quick tests on the embedded storage
.PHONY: check
check: $(STAMPS)/test
	@exec scripts/test check

## test: everything, on both storages, with browsers and third-party clients
.PHONY: test
test: prerequisites $(STAMPS)/test node_modules/.package-lock.json
	@exec scripts/test all

## lint: ruff, mypy --strict, and a report of sizes
.PHONY: lint
lint: $(STAMPS)/test
	@failed=0; \
	$(BIN)/ruff check . || failed=1; \
	$(BIN)/ruff format --check . || failed=1; \
	$(BIN)/mypy || failed=1; \
	$(BIN)/python scripts/sizes.py; \
	exit $$failed

## bench: measure; the numbers go to docs/
.PHONY: bench
bench: $(STAMPS)/test node_modules/.package-lock.json
	@exec $(BIN)/python -m bench.run $(ARGS)

## docs: write the generated reference pages anew
.PHONY: docs
docs: $(STAMPS)/test
	@for script in scripts/docs_*.py; do echo "$$script"; $(BIN)/python "$$script"; done

## translations: bring translations/*.po up to date and say what is missing; NEW=fr begins another language
.PHONY: translations
translations: $(STAMPS)/test
	@exec $(BIN)/python scripts/translations.py $(if $(NEW),--new $(NEW))

## screenshots: photograph every hosted page into docs/
.PHONY: screenshots
screenshots: $(STAMPS)/test node_modules/.package-lock.json
	@exec $(BIN)/python scripts/screenshots.py

## wheel: build dist/watchword-*.whl
.PHONY: wheel
wheel: $(STAMPS)/test
	@rm -rf dist && $(UV) build --wheel --no-build-isolation --python $(BIN)/python -q --out-dir dist . && ls dist/*.whl

## lock: resolve the dependencies again and write the locks with their hashes; UPGRADE=1 takes newer versions
.PHONY: lock
lock: $(STAMPS)/uv
	@$(COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml -o requirements/run.txt
	@$(COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml --group test --group build -c requirements/run.txt -o requirements/test.txt
	@$(COMPILE) --group build -c requirements/test.txt -o requirements/build.txt
	@$(COMPILE) requirements/uv.in -o requirements/uv.txt
	@npm install --package-lock-only

## prerequisites: what the tests need from Debian: installed when root or with sudo, else the command is named
.PHONY: prerequisites
prerequisites:
	@scripts/prerequisites.sh

## clean: remove the environment and what was built; data/ stays
.PHONY: clean
clean:
	rm -rf $(VENV) node_modules dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

## help: this list
.PHONY: help
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST) | awk '{name = $$1; sub(/:$$/, "", name); $$1 = ""; printf "  make %-14s%s\n", name, $$0}'

# --- The environment: hash-pinned uv first, then the locks, wheels only, then Watchword itself without a resolver.

$(STAMPS)/python:
	@scripts/python.sh $(PYTHON)
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/uv: $(STAMPS)/python requirements/uv.txt
	@echo "Preparing .venv ..."
	@$(BIN)/python -m pip install -q --require-hashes --only-binary :all: -r requirements/uv.txt
	@touch $@

$(STAMPS)/run: $(STAMPS)/uv requirements/run.txt requirements/build.txt pyproject.toml
	@scripts/install.sh run
	@touch $@

$(STAMPS)/test: $(STAMPS)/run requirements/test.txt
	@scripts/install.sh test
	@touch $@

node_modules/.package-lock.json: package.json package-lock.json .npmrc
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@
