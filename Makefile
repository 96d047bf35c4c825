# What a person types at this repository; `make` alone lists it.
#
# One virtual environment (.venv), filled from PyPI by ordinary pip. A stamp in it remembers each install, so that a
# second run starts at once and a changed pyproject.toml installs again.

PYTHON ?= python3
JOBS ?= 2
FUZZ_SECONDS ?= 10
SOAK ?= 10000

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: help car test ready check docs bench fuzz soak system clean distclean

help:  ## this list
	@echo "make <goal> [PYTHON=python3.12]"
	@grep -E '^[a-z]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*  ## /\1\t/' \
		| while IFS=$$'\t' read -r goal what; do printf '  %-10s %s\n' "$$goal" "$$what"; done

car: $(VENV)/.car  ## drive: install what the car needs, then start it (ARGS="--help" for its options)
	@exec $(BIN)/rccar $(ARGS)

test: ready  ## every test, those against other stacks and Chromium last (ARGS="-k sctp")
	@$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

check: $(VENV)/.dev  ## lint, format, types, and the import rule
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy stack
	@$(BIN)/python -m pytest -q tests/architecture

docs: $(VENV)/.dev  ## the documentation as a site, into build/site
	@$(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html"

bench: $(VENV)/.dev  ## measure against other stacks (ONLY=setup,datachannel-bulk ARGS="--quick")
	@$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY)) $(ARGS)

fuzz: $(VENV)/.dev  ## hostile input for every parser and machine (FUZZ_SECONDS=10 each, ONLY=stun-message)
	@$(BIN)/python -m fuzz --seconds $(FUZZ_SECONDS) $(if $(ONLY),--only $(ONLY)) $(ARGS)

soak: $(VENV)/.dev  ## 10,000 random scenarios of SCTP associations (SOAK=100000 for more)
	@SCTP_SOAK=$(SOAK) $(BIN)/python -m pytest -q -n $(JOBS) tests/sctp/test_soak.py

ready: $(VENV)/.dev system  ## install all that `make test` needs, without running it

clean:  ## remove what was built, keep the environment
	rm -rf build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

distclean: clean  ## remove the environment too
	rm -rf $(VENV)

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { echo "No $(PYTHON) here. Install Python 3.11 or newer, or name it: make $(MAKECMDGOALS) PYTHON=..." >&2; exit 1; }
	@$(PYTHON) --version >/dev/null 2>&1 || { echo "$(PYTHON) does not run. Name another: make $(MAKECMDGOALS) PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), and this needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "== creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.car: $(VENV)/.created pyproject.toml
	@echo "== installing the car and what it needs into $(VENV) (a minute the first time)"
	@$(PIP) --editable '.[car]'
	@touch $@

# The tools include the car, so a developer's `make car` installs nothing more.
$(VENV)/.dev: $(VENV)/.created pyproject.toml
	@echo "== installing the car, the tools and the peers to test against into $(VENV) (some minutes the first time)"
	@$(PIP) --editable '.[dev]'
	@touch $(VENV)/.car $@

system:
	@tests/support/system.sh
