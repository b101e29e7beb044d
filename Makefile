# Two commands on a fresh machine: make demo, make test. `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.locked

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-cluster test check docs crds chart interop cluster cluster-full kubernetes
.PHONY: containers stores bench fuzz lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make the virtual environment with the locked versions

$(STAMP): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' \
		|| { echo "Python's venv module is missing (Debian: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: $(STAMP) ## a gateway and a client in network namespaces, end to end
	@$(BIN)/ferrule demo

demo-cluster: $(STAMP) ## three gateways that are one: a pod is killed, a pod is drained
	@$(BIN)/ferrule demo-cluster

test: $(STAMP) ## all tests that this machine can run
	$(BIN)/pytest -q

check: $(STAMP) ## format, lint, types, import contracts, generated files
	$(BIN)/ruff format --check concentrator operator tests tools
	$(BIN)/ruff check concentrator operator tests tools
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/docs.py --check
	$(BIN)/python tools/crds.py --check
	$(BIN)/python tools/api_reference.py --check
	$(BIN)/python tools/chart.py --check
	$(BIN)/python tools/dashboards.py --check

docs: $(STAMP) ## write the generated pages (docs/troubleshooting.md, docs/protocol/)
	$(BIN)/python tools/docs.py

crds: $(STAMP) ## write crds/, the chart's copy and docs/api.md from the operator's models
	$(BIN)/python tools/crds.py
	$(BIN)/python tools/api_reference.py

chart: $(STAMP) ## write the chart's schema, table of values and dashboards
	$(BIN)/python tools/chart.py
	$(BIN)/python tools/dashboards.py

interop: $(STAMP) ## real clients in user-mode-linux (root; installs Debian packages)
	tools/interop/install.sh
	$(BIN)/pytest -q tests/interop

cluster: $(STAMP) ## three pods behind a balancer, with real clients (root; installs Debian packages)
	tools/interop/install.sh
	$(BIN)/pytest -q tests/cluster

cluster-full: $(STAMP) ## the same with 200 kills, 300 clients, a minute without the store
	tools/interop/install.sh
	FERRULE_FULL=1 $(BIN)/pytest -q tests/cluster

kubernetes: $(STAMP) ## the operator and the chart on a real API server (builds it once)
	tools/interop/install.sh
	tools/kubernetes/node.sh
	tools/kubernetes/build.sh all
	$(BIN)/pytest -q tests/kubernetes

containers: $(STAMP) ## the images, in pods as the operator makes them, on containerd (root, Debian)
	tools/containers/install.sh
	tools/images/build.sh
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/containers.lock
	$(BIN)/pytest -q tests/containers

stores: $(STAMP) ## the stores' contract, on a real Valkey too
	$(BIN)/pytest -q tests/stores

bench: $(STAMP) ## set-ups a second, memory a session, packets a second
	$(BIN)/python -m tests.bench

fuzz: ## coverage-guided fuzzing of every parser, for FUZZ_SECONDS each
	tools/fuzz.sh

lock: ## resolve the versions anew (needs uv)
	uv pip compile pyproject.toml --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/run.lock
	uv pip compile pyproject.toml --extra operator --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/operator.lock
	uv pip compile pyproject.toml --extra dev --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/dev.lock
	uv pip compile pyproject.toml --extra dev --extra fuzz --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/fuzz.lock
	uv pip compile pyproject.toml --extra dev --extra containers --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/containers.lock
	uv pip compile requirements/build.in -c requirements/dev.lock --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/build.lock

clean: ## remove what the targets above made
	rm -rf $(VENV) .venv-fuzz .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find concentrator operator tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
