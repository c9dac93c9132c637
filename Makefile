# Every target does its own set-up. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
EXECUTOR ?= in_process
DEMO_HOME ?= build/demo
PYTEST_ARGS ?=
REPOSITORIES ?= 1000

.PHONY: help setup engine images sbom scan demo compose-demo upgrade-demo dev test test-agents test-engine test-github simulate test-fast lint format bench soak docs pictures lock clean

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-zA-Z_-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv from the hashed locks

$(STAMP): requirements-dev.lock pyproject.toml forge/pyproject.toml scripts/setup.sh
	@PYTHON="$(PYTHON)" scripts/setup.sh "$(VENV)"
	@touch $@

engine: ## Install and start a container engine (Debian, Ubuntu)
	@scripts/engine.sh

images: ## Build the worker's and the pipeline's image where an engine answers
	@scripts/images-if-engine.sh all

sbom: ## The worker image's bill of materials, into build/sbom/
	@scripts/images-if-engine.sh worker

scan: sbom ## Known vulnerabilities in the worker image, where a scanner and its database are there
	@scripts/scan.sh

demo: setup ## The whole pipeline against the forge; EXECUTOR=docker runs our own steps in containers too
	@scripts/images-if-engine.sh $(if $(filter docker,$(EXECUTOR)),all,worker)
	@$(BIN)/squire demo --home "$(abspath $(DEMO_HOME))" --executor $(EXECUTOR)

compose-demo: setup ## The demo on three workers in containers, one of which is killed; ARGS=--keep leaves them running
	@scripts/images-if-engine.sh all
	@$(BIN)/python scripts/compose_demo.py $(ARGS)

upgrade-demo: setup ## An upgrade of several machines under load and back, and a restore into an empty cluster
	@$(BIN)/python -m pytest tests/soak/test_rolling_upgrade.py -m soak -s $(PYTEST_ARGS)
	@$(BIN)/python -m pytest tests/integration/execution/test_restored_cluster.py $(PYTEST_ARGS)

dev: setup ## Dagster's UI and daemon and the webhook receiver, until Ctrl-C
	@$(BIN)/squire dev

test: setup ## All tests, with coverage; Docker tests where an engine answers
	@scripts/images-if-engine.sh all
	@scripts/github-schemas.sh || echo "github-schemas: not there; the tests that compare with them are skipped"
	@scripts/axe.sh || echo "axe: not there; the browser tests leave its rules out"
	@scripts/test.sh "$(BIN)" $(PYTEST_ARGS)

test-fast: setup ## Unit and integration tests without engine, Postgres and what takes long: under four minutes on two cores
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest tests/unit forge/tests tests/integration -n "$${SQUIRE_TEST_WORKERS:-4}" \
		--dist worksteal --hypothesis-profile=fast -m "not docker and not postgres and not slow" $(PYTEST_ARGS)

test-agents: setup ## Every agent's program in its image, which is built if need be; `make test` runs the quickest
	@scripts/images-if-engine.sh worker
	@SQUIRE_TEST_ALL_AGENTS=1 $(BIN)/python -m pytest tests/docker/agents/test_programs.py \
		tests/docker/jobs/test_agent_programs.py --no-header $(PYTEST_ARGS)

test-engine: setup ## Docker tests on another engine: ENGINE=podman or gvisor, TESTS=…; see docs/reference/runtimes.md
	@$(BIN)/python -m tests.support.other_engine $(ENGINE) $(TESTS)

simulate: setup ## What REPOSITORIES=1000 cost, and which part gives way first; see docs/reference/scale.md
	@$(BIN)/python scripts/simulate.py $(REPOSITORIES)

test-github: setup ## End to end against a real repository: SQUIRE_TEST_REPOSITORY=owner/name and a token
	@$(BIN)/python -m pytest tests/github -m github --no-header -p no:socket $(PYTEST_ARGS)

lint: setup ## ruff, mypy strict, import contracts, declared dependencies
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry .
	@cd forge && "$(abspath $(BIN))/deptry" . --extend-exclude '.*samples/data'
	@$(BIN)/python scripts/cli_reference.py --check
	@$(BIN)/python scripts/completion_index.py --check
	@$(BIN)/python scripts/warehouse_reference.py --check
	@$(BIN)/python scripts/settings_reference.py --check
	@$(BIN)/python scripts/doctor_reference.py --check
	@$(BIN)/python scripts/metrics_reference.py --check
	@$(BIN)/python scripts/errors_reference.py --check
	@$(BIN)/python scripts/plugins_reference.py --check
	@$(BIN)/python scripts/helm_chart.py --check

format: setup ## Format and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup ## All benchmarks; bench-NAME runs one
	@for benchmark in tests/benchmarks/bench_*.py; do $(BIN)/python "$$benchmark" || exit 1; done

bench-%: setup
	@$(BIN)/python tests/benchmarks/bench_$(subst -,_,$*).py

soak: setup ## Long fault injection and properties: the short versions in `make test`, many times
	@$(BIN)/python -m pytest tests/soak -m soak $(PYTEST_ARGS)
	@$(BIN)/python -m pytest tests/unit -n 3 --hypothesis-profile=thorough $(PYTEST_ARGS)

docs: setup ## Build the documentation into build/site
	@scripts/docs.sh "$(BIN)"

pictures: setup ## Take the pictures of docs/guide/pictures.md anew, of a demo
	@$(BIN)/python scripts/pictures.py

lock: setup ## Resolve the dependencies into the hashed locks
	@scripts/lock.sh "$(BIN)"

clean: ## Remove everything that was built; .venv stays
	rm -rf build .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
