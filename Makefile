# Needs Python 3.11+, make and git; everything else is set up here, from pinned versions.
PYTHON ?= python3
UV_REQUIREMENT := uv$(shell sed -n 's/^required-version = "\(.*\)"/\1/p' pyproject.toml)
UV := .uv/bin/uv
PIP_FLAGS := --disable-pip-version-check --root-user-action=ignore
export UV_PYTHON_DOWNLOADS := never
# Where the home cannot be written (HOME unset or read-only, a user without one), packages are cached in .cache.
writable = $(shell d=$(1); until [ -e "$$d" ]; do d=$$(dirname "$$d"); done; [ -w "$$d" ] && echo yes)
cache = $(if $(or $($(1)),$(call writable,$(2))),,$(eval export $(1) := $(CURDIR)/.cache/$(3)))
$(call cache,UV_CACHE_DIR,"$${XDG_CACHE_HOME:-$$HOME/.cache}/uv",uv)
$(call cache,PIP_CACHE_DIR,"$${XDG_CACHE_HOME:-$$HOME/.cache}/pip",pip)
$(call cache,npm_config_cache,"$$HOME/.npm",npm)
# Compiled modules make each of the stack's processes start a second or two sooner.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo up dev down test test-stack test-cluster test-outside test-labs lint format chaos fuzz new-service generate bench screenshots reset clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.complete tests/grafana_panels/node_modules/.complete ## Install everything, tests and linters included, into .venv

demo: .venv/.demo web/dist/.built ## Start the local stack, place a first order, show its trace; stays up until Ctrl-C
	@.venv/bin/waybill demo

up: .venv/.demo ## Start the container stack (docker compose), place a first order, show its trace
	@.venv/bin/waybill containers

dev: .venv/.demo web/dist/.built ## Run one service in this terminal, restarted when its code changes (SERVICE=inventory)
	@.venv/bin/waybill dev $(SERVICE)

down: ## Stop the container stack; its data stays (docker compose down -v removes that too)
	@docker compose down

test: setup web/dist/.built ## Run every test and check
	@.venv/bin/pytest -n 2 --dist loadgroup

test-stack: .venv/.complete ## Test the container stack that `make up` has started
	@.venv/bin/pytest tests/stack --timeout 300

test-cluster: .venv/.complete ## Test the stack that `waybill cluster` has started in a Kubernetes cluster (CLUSTER_LOAD="kind load docker-image")
	@docker compose --progress quiet build load
	@.venv/bin/pytest tests/cluster -s --timeout 900

test-outside: .venv/.complete web/dist/.built ## Make projects of their own and run their tests
	@.venv/bin/pytest tests/outside --timeout 900

test-labs: .venv/.complete web/dist/.built ## Play every lab with three seeds (an hour)
	@.venv/bin/pytest tests/rehearsal --timeout 3600

lint: .venv/.complete web/node_modules/.complete ## Check style, types and import rules
	@.venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/mypy && .venv/bin/lint-imports
	@$(NPM) web run --silent check

format: .venv/.complete web/node_modules/.complete ## Rewrite the code in its one style
	@.venv/bin/ruff check --fix && .venv/bin/ruff format
	@$(NPM) web run --silent format

chaos: .venv/.complete ## Break the stack under load and count what was lost (FAULTS=1000 DATABASE=postgresql SEED=1)
	@.venv/bin/python -m tools.chaos --faults $(or $(FAULTS),100) --database $(or $(DATABASE),sqlite) $(if $(SEED),--seed $(SEED))

fuzz: .venv/.complete ## Send 10,000 odd requests to each service and 10,000 broken exports to the explorer (SEED=1)
	@.venv/bin/python -m tools.fuzz $(if $(SEED),--seed $(SEED))

new-service: .venv/.complete ## Write a new service (NAME=shipping CALLS=notification PORT=8084)
	@.venv/bin/waybill new-service $(NAME) $(if $(CALLS),--calls $(CALLS)) $(if $(PORT),--port $(PORT))

generate: .venv/.complete ## Write what services.toml and each telemetry.yaml imply, Grafana's dashboards, and the recipes' code into their pages
	@.venv/bin/python -m local.generate
	@.venv/bin/python -m grafana.dashboards
	@.venv/bin/python -m tools.recipes

api-types: .venv/.complete web/node_modules/.complete ## Rebuild the pages' types of the APIs that they call
	@.venv/bin/python -m tools.api_types

bench: .venv/.complete web/dist/.built ## Measure the explorer, the pages and the cost of telemetry (20 min)
	@.venv/bin/python bench/explorer.py
	@.venv/bin/python -m bench.page
	@.venv/bin/python -m bench.telemetry

screenshots: .venv/.complete web/dist/.built ## Rebuild the pictures in docs/images; every view goes to .screenshots
	@.venv/bin/python -m tools.screenshots

reset: .venv/.demo ## Remove the local stack's data: orders, traces, metrics, logs
	@.venv/bin/waybill reset

clean: ## Remove what was installed and cached; the local stack's data stays
	rm -rf .venv .uv .cache web/node_modules tests/grafana_panels/node_modules web/dist explorer/waybill_explorer/static explorer/dist lean/dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.venv/.demo: uv.lock pyproject.toml explorer/pyproject.toml lean/pyproject.toml | $(UV)
	@echo "Installing Waybill into .venv ..."
	@$(UV) sync --quiet --frozen --inexact --no-group test --no-group recipes --compile-bytecode --python $(PYTHON)
	@ln -sf ../../local/waybill .venv/bin/waybill
	@touch $@

.venv/.complete: uv.lock pyproject.toml explorer/pyproject.toml lean/pyproject.toml | $(UV)
	@echo "Installing Waybill, its tests and linters into .venv ..."
	@$(UV) sync --quiet --frozen --compile-bytecode --python $(PYTHON)
	@ln -sf ../../local/waybill .venv/bin/waybill
	@touch $@ .venv/.demo

# Node is one of the packages in .venv.
NPM = PATH="$(CURDIR)/.venv/bin:$$PATH" npm --loglevel=error --prefix

%/node_modules/.complete: %/package-lock.json %/package.json | .venv/.demo
	@echo "Installing the packages of Node into $*/node_modules ..."
	@$(NPM) $* ci --no-audit --no-fund >/dev/null \
	  || { echo "npm could not install the packages; its error is above. Is the network there, and room on the disk? Then run make again."; exit 1; }
	@touch $@

web/dist/.built: web/node_modules/.complete web/vite.config.ts $(shell find web/src -type f)
	@echo "Building the pages into web/dist and explorer/waybill_explorer/static ..."
	@$(NPM) web run --silent build \
	  || { echo "The pages could not be built; the error is above. Correct it, or run make clean, then run make again."; exit 1; }
	@touch $@

# The explorer as a wheel, its page included.
explorer/dist/.built: web/dist/.built explorer/pyproject.toml explorer/README.md $(shell find explorer/waybill_explorer -name '*.py') | $(UV)
	@$(UV) build --quiet --wheel --out-dir explorer/dist explorer
	@touch $@

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Waybill needs Python 3.11 or newer. If you have one: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Fetching $(UV_REQUIREMENT) ..."
	@$(PYTHON) -m pip install --quiet --target .uv $(PIP_FLAGS) $(UV_REQUIREMENT) 2>/dev/null \
	  || { $(PYTHON) -m venv --clear .uv && .uv/bin/pip install --quiet $(PIP_FLAGS) $(UV_REQUIREMENT); } \
	  || { echo "uv could not be installed. Is the network there? (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
