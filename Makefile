# The commands of the project. `make demo` and `make test` set everything up by themselves.
# The first Python that its libraries run on; dbt 1.11 and dagster-dbt do not run on 3.14.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for one in python3 python3.13 python3.12 python3.11; do $$one -c '$(SUPPORTED)' 2>/dev/null && echo $$one && break; done)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test lint lint-sql lint-python bench dev clean

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(SUPPORTED)' || { echo "tierhouse needs Python 3.11, 3.12 or 3.13; install one, or name it: make demo PYTHON=python3.13" >&2; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -c '$(SUPPORTED)' || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	@$(BIN)/tierhouse demo
	@$(BIN)/tierhouse refresh

test: setup lint
	$(BIN)/pytest

# The linter of SQL takes as long as all others together, so both run at the same time.
lint: setup
	@$(MAKE) --no-print-directory --jobs=2 lint-sql lint-python

lint-sql: setup
	$(BIN)/sqlfluff lint models tests/dbt --disable-progress-bar

lint-python: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check orchestration tests benchmarks
	$(BIN)/mypy
	$(BIN)/python -m orchestration.project
	$(BIN)/dg check defs

bench: setup
	$(BIN)/python -m benchmarks.run
	$(BIN)/python -m benchmarks.lifetime_value
	$(BIN)/python -m benchmarks.recommendation

# Dagster's pages over the same state that `tierhouse refresh` keeps.
dev: setup
	@$(BIN)/python -c "from orchestration.refresh import dagster_instance; from orchestration.warehouse.settings import Settings; dagster_instance(Settings.from_environment())"
	DAGSTER_HOME=$${DAGSTER_HOME:-$${TIERHOUSE_HOME:-$(CURDIR)/.tierhouse}/dagster} $(BIN)/dg dev

clean:
	rm -rf $(VENV) .tierhouse
