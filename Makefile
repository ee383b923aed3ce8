# `make` lists what one can do. `make demo` and `make test` need Python 3.10 or newer, and the network the first time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test coverage services lint format bench notebooks clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What the user writes reaches the program as it is: neither make nor the shell reads it. ($(value) has it unexpanded.)
unexport TRANSCRIPT ASK DB
demo: export DEMO_TRANSCRIPT = $(value TRANSCRIPT)
demo: export DEMO_ASK = $(value ASK)
demo: export DEMO_DB = $(value DB)
demo: $(READY) ## watch one memory serve LangChain and LlamaIndex (TRANSCRIPT=file, ASK=question, DB=path)
	@$(BIN)/python -m demo $${DEMO_TRANSCRIPT:+"--transcript=$$DEMO_TRANSCRIPT"} $${DEMO_ASK:+"--ask=$$DEMO_ASK"} \
		$${DEMO_DB:+"--db=$$DEMO_DB"}

# Tests start some hundred processes of Python: what one has compiled is kept for the next.
test: $(READY) ## run every test (ARGS="-k words" for some; with CI=true no service may be missing)
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal $(ARGS)

coverage: test ## run every test, and tell which lines none of them runs
coverage: ARGS += --cov

services: ## start PostgreSQL, Elasticsearch 8 and 9 for tests, and print where they are (ARGS=stop ends them)
	@tests/services/all $(or $(ARGS),start)

lint: $(READY) ## check style, formatting, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## put the code in the one format, and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## measure histories beside the raw database and the frameworks' own stores
	$(BIN)/python benchmarks/history.py $(ARGS)

notebooks: $(READY) ## run the notebooks and keep their outputs in them
	$(BIN)/python notebooks/execute.py

clean: ## remove what the other targets made, the virtual environment too
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed anew when what is to be installed has changed.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed; name one with: make PYTHON=python3.12"; exit 1; }
	@echo "Installing into $(VENV) ... (once; it needs the network and takes a few minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]" --constraint constraints.txt
	@touch $@
