PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: setup demo test test-browser check simulate bench clean
.DEFAULT_GOAL := help

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

$(BIN)/.runtime: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(BIN)/.dev: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(BIN)/.runtime

setup: $(BIN)/.dev ## Create .venv with everything for development, at pinned versions

demo: $(BIN)/.runtime ## Serve the digits model, replay 30 s of bursty load against it, report
	$(BIN)/streambox demo

test: $(BIN)/.dev ## Run all tests, two files at a time
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-browser: $(BIN)/.dev ## Show the pages in headless Chromium, where there is one, and check them
	$(BIN)/python -m pytest -m browser -rs tests/browser

check: $(BIN)/.dev ## Lint and type-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

simulate: $(BIN)/.dev ## 10,000 storms through the core in virtual time
	$(BIN)/python tests/storm.py --seeds 10000

bench: $(BIN)/.dev ## Measure against peers, side by side
	$(BIN)/python benchmarks/run.py

clean: ## Remove what the commands above made
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache
