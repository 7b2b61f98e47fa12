# Dicomward. `make demo` shows it, `make test` tests it; each does all the set-up it needs.
.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-full geth-test lock ci check bench policy-test tools clean
SHELL := /bin/bash
BIN := .venv/bin
OPA := .tools/bin/opa

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Python environment, Orthanc, anvil, Prometheus (again: a second)
	@deploy/setup.sh

demo: setup ## Walk one request of each kind through a stack of its own, and verify the ledger
	@$(BIN)/dicomward dev demo

up: setup ## Run the dev stack in the foreground until Ctrl-C (flags: make up FLAGS='--port-base 21000')
	@$(BIN)/dicomward dev up $(FLAGS)

test: setup tools ## Run all tests (arguments: make test ARGS='-k posture')
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-full: setup tools ## The long forms: crashes, 10 minutes without chain, lost replies, mutations, 4 GiB, 1,000 devices
	DICOMWARD_FULL=1 $(BIN)/pytest tests/journey tests/anchor tests/record tests/policies/test_visible.py \
	  tests/policies/test_corpus.py $(ARGS)

geth-test: setup ## The anchor on a real geth, which is built the first time (some minutes)
	@deploy/tools.sh geth
	$(BIN)/pytest tests/geth $(ARGS)

lock: ## Lock dependencies anew, with hashes (wants uv)
	uv pip compile --generate-hashes --extra dev --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	  --python-version 3.11 pyproject.toml -o requirements-dev.lock
	uv pip compile --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	  --python-version 3.11 -c requirements-dev.lock pyproject.toml -o requirements.lock

ci: check test ## What CI runs: the checks, then exactly `make test`

check: setup tools ## ruff, mypy, import rules, Rego checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory policy-test

policy-test: setup ## Rego: check, format, tests on both engines (on one where OPA is not there)
	@if [ -x $(OPA) ]; then \
	  set -ex; \
	  $(BIN)/dicomward policy check policies --opa $(OPA) --require-opa; \
	  $(OPA) fmt --list --fail policies; \
	  $(BIN)/dicomward policy test policies --opa $(OPA) --require-opa; \
	elif [ "$$CI" = true ] && command -v go >/dev/null; then \
	  echo 'The policies were not checked: OPA could have been built and is not there.' >&2; exit 1; \
	else \
	  set -ex; \
	  $(BIN)/dicomward policy check policies; \
	  $(BIN)/dicomward policy test policies; \
	fi

tools: # OPA and Kubo, which only tests need: tests that cannot have them skip and say so
	@deploy/tools.sh --optional opa kubo

bench: setup ## Measure against nginx and against the archive alone
	@deploy/tools.sh nginx ab
	$(BIN)/python -m tests.bench $(ARGS)

clean: ## Remove what set-up and runs made (not the cache shared by checkouts)
	rm -rf .venv .tools .dev .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
