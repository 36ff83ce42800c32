# Everything a person runs. Each target sets up .venv by itself, from requirements.lock.

BIN := .venv/bin
WORKERS ?= 2
INSTALLED := .venv/.installed

.PHONY: help demo ui bench test lint types pytest proof lock clean

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

$(INSTALLED): requirements.lock pyproject.toml .ci/install
	@bash .ci/install

demo: $(INSTALLED) ## three pretend CRMs, a first sync and the story of some edits, in one state directory
	@$(BIN)/crm-sync demo

ui: $(INSTALLED) ## Dagster's UI on what the demo did
	@$(BIN)/crm-sync ui

test: lint types pytest ## everything that must hold: rules of style, layers, types, tests

lint: $(INSTALLED) ## ruff, and the layers that imports must keep
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-logo

types: $(INSTALLED) ## the strict type checker
	@$(BIN)/python -m mypy

pytest: $(INSTALLED) ## the tests alone
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

proof: $(INSTALLED) ## the merge core against its reference and the matching against the truth, with fresh random seeds
	@CRM_SYNC_HYPOTHESIS_PROFILE=proof $(BIN)/python -m pytest -m "proof or not proof" tests/unit/steps tests/scenarios tests/integration/cli

bench: $(INSTALLED) ## what one machine does with 100,000 contacts of each CRM, beside the floors (ROWS=..., CRM=...)
	@$(BIN)/python -m bench --rows $(or $(ROWS),100000) --crm $(or $(CRM),all)

lock: ## resolve the dependencies anew
	@UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-strip-extras -o requirements.lock

clean: ## remove what was built and installed here; stored data (.state) stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
