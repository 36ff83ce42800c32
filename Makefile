# Everything a person runs. Each target sets up .venv by itself, from requirements.lock.

BIN := .venv/bin
WORKERS ?= 2
INSTALLED := .venv/.installed
CLIENTS := .venv/clients/.installed
# What is drawn in `make proof`: fresh each time, the same for everybody with SHORT=1, as before with PROOF_SEED=number.
ifndef PROOF_SEED
PROOF_SEED := $(if $(SHORT),1,$(strip $(shell od -An -N4 -tu4 /dev/urandom)))
endif
PROOF := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --hypothesis-seed=$(PROOF_SEED)

.PHONY: help demo ui bench test lint types pytest proof clients lock clean

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

$(INSTALLED): requirements.lock pyproject.toml .ci/install
	@bash .ci/install

$(CLIENTS): $(INSTALLED) requirements-clients.lock tests/clients/node/package-lock.json .ci/install-clients
	@bash .ci/install-clients

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

proof: $(INSTALLED) $(CLIENTS) ## the long suite, freshly drawn, an hour at most (SHORT=1: always the same, half an hour)
	@echo "What is drawn follows from PROOF_SEED=$(PROOF_SEED); set it to draw the same again."
ifdef SHORT
	@CRM_SYNC_HYPOTHESIS_PROFILE=proof PROOF_SEQUENCES=200 $(PROOF) -m "proof or not proof" tests/models tests/clients
	@$(PROOF) -m proof tests/scenarios tests/integration/cli
else
	@CRM_SYNC_HYPOTHESIS_PROFILE=proof $(PROOF) -m "proof or not proof" \
	  tests/models tests/clients tests/unit/steps tests/scenarios tests/integration/cli
endif

clients: $(CLIENTS) ## other people's clients, unmodified, in sessions against the pretend CRMs
	@$(BIN)/python -m pytest -m proof tests/clients

bench: $(INSTALLED) ## what one machine does with 100,000 contacts of each CRM, beside the floors (ROWS=..., CRM=...)
	@$(BIN)/python -m bench --rows $(or $(ROWS),100000) --crm $(or $(CRM),all)

lock: ## resolve the dependencies anew
	@UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-strip-extras -o requirements.lock
	@UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile --group clients --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-strip-extras -o requirements-clients.lock
	@cd tests/clients/node && PATH="$(CURDIR)/.venv/clients/bin:$$PATH" npm install --package-lock-only --ignore-scripts

clean: ## remove what was built and installed here; stored data (.state) stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
