# Everything a contributor runs, by name. Needs GNU make and Python 3.11 or newer; the rest it sets up itself.

PYTHON ?= python3
# Processes that pytest runs the suite in; 0: in its own, one test after another. Half of the time of most tests is
# waiting, so three keep two cores busy.
JOBS ?= 3
# Further words for pytest, such as ARGS="-k retry -x".
ARGS ?=
# Set to 1: the demo ends by itself; the benchmark measures other task queues too.
ONCE ?=
PEERS ?=

BIN := .venv/bin
PYTEST := -m pytest -n $(JOBS) $(ARGS)
# What needs Linux, root or packages of the system: network namespaces (iproute2), a proxy (pgbouncer).
SYSTEM_TESTS := tests/postgres/test_hosts.py tests/postgres/test_pooling.py
# What lives random histories.
MODELS := tests/contract/test_model.py tests/contract/test_explain_model.py tests/postgres/test_session_histories.py
# What the version of FastAPI can matter to: on SQLite alone, since no store knows FastAPI; of the promises those that a
# request makes, and of the commands those that import an app. A folder that is not there yet is left out.
FASTAPI_TESTS := $(wildcard tests/unit tests/face tests/depends tests/dashboard) \
	$(wildcard $(foreach promise,1 2 7 8 9,tests/promises/test_p$(promise)_*.py)) \
	$(wildcard tests/cli/test_apps.py tests/cli/test_processes.py)
FACE_TESTS := $(wildcard tests/face tests/depends)

# A caller's own search path would put other code in front of ours.
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help test lint types rules fast demo hosts models soak pictures bench build install-check lock clean

help: ## Show this list
	@echo "make TARGET, where TARGET is one of:"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Another Python: make test PYTHON=python3.12. Further words for pytest: make fast ARGS=\"-k retry -x\"."

test: lint types rules .venv/ready .venv-oldest/ready ## Everything: lint, types, import rules, tests on newest and oldest FastAPI
	@echo "== tests, newest FastAPI"
	@$(BIN)/python $(PYTEST)
	@echo "== tests, oldest FastAPI"
	@.venv-oldest/bin/python $(PYTEST) -k "not (postgres or plugin_projects)" $(FASTAPI_TESTS)
ifneq ($(FACE_TESTS),)
	@echo "== tests of the face, through FastAPI's public names alone"
	@OUTLAST_TEST_SEAM=public $(BIN)/python $(PYTEST) $(FACE_TESTS)
endif

lint: .venv/ready ## Style: ruff's rules and its format
	@echo "== lint"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

types: .venv/ready ## Types: mypy, strict, on src and examples
	@echo "== types"
	@$(BIN)/mypy --no-error-summary

rules: .venv/ready ## Which module may import which
	@echo "== import rules"
	@$(BIN)/lint-imports --no-logo > .venv/rules.log || { cat .venv/rules.log; exit 1; }

fast: .venv/ready ## The tests that take seconds: unit and contract
	@$(BIN)/python $(PYTEST) $(wildcard tests/unit tests/contract)

demo: .venv/ready ## The demo app, killed and recovered before your eyes (ONCE=1: end instead of staying up)
	@$(BIN)/python -m examples.demo $(if $(filter-out 0,$(ONCE)),--once)

hosts: .venv/ready ## Only the tests of PostgreSQL on several hosts and behind a proxy (as root on Linux)
	@$(BIN)/python $(PYTEST) $(SYSTEM_TESTS)

models: .venv/ready ## The random models of the store, twenty times as long as in the tests, and anew each time
	@OUTLAST_TEST_HISTORIES=20 $(BIN)/python $(PYTEST) $(MODELS)

soak: .venv/ready ## Thousands of requests while processes are killed at random: nothing may be lost
	@$(BIN)/python tests/soak/run.py

pictures: .venv/ready ## Take the pictures of the dashboard that the pages show (Chromium)
	@$(BIN)/python docs/pictures/take.py

bench: .venv/ready ## Measure throughput and latency on this machine (PEERS=1: other task queues beside it)
	@$(BIN)/python benchmarks/run.py $(if $(filter-out 0,$(PEERS)),--peers)

build: .venv/ready ## Wheel and source archive, into dist/
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist . > .venv/build.log 2>&1 || { cat .venv/build.log; exit 1; }
	@ls dist/*

install-check: build ## Install the wheel into a new environment, as a user would, and start it
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && wheel=$$(ls "$$PWD"/dist/*.whl) && cd "$$dir" \
		&& $(PYTHON) -m venv venv \
		&& venv/bin/python -m pip install -qq --disable-pip-version-check "$$wheel" \
		&& venv/bin/python -c "import outlast; print(outlast.__file__)" \
		&& venv/bin/outlast --help

lock: .venv-lock/ready ## Renew the pinned versions in requirements/ (then run the tests)
	@$(COMPILE) --group dev pyproject.toml -o requirements/dev.txt
	@$(COMPILE) --group test pyproject.toml -c requirements/oldest.in -o requirements/oldest.txt
	@git --no-pager diff --stat -- requirements

clean: ## Remove environments, caches and what was built
	rm -rf .venv .venv-oldest .venv-lock dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One set of pins for every Python and platform that we support; no names of indexes in the files.
COMPILE = .venv-lock/bin/uv pip compile --quiet --upgrade --universal --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links

PIP_INSTALL = -m pip install -qq --disable-pip-version-check --no-input

# Two stamps an environment: `pins` is renewed when the pinned versions change, and starts from nothing so that what is
# no longer pinned is gone; `ready` when the package's own entry in it must be written again.
.venv/pins: requirements/dev.txt
	@echo "== setting up .venv (newest FastAPI)"
	$(call new_venv,.venv,requirements/dev.txt)

.venv-oldest/pins: requirements/oldest.txt
	@echo "== setting up .venv-oldest (oldest FastAPI)"
	$(call new_venv,.venv-oldest,requirements/oldest.txt)

.venv-lock/ready:
	$(check_python)
	@$(PYTHON) -m venv --clear .venv-lock
	@.venv-lock/bin/python $(PIP_INSTALL) uv
	@touch $@

.venv/ready .venv-oldest/ready: %/ready: %/pins pyproject.toml
	@$*/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@$*/bin/python -m pip check > $*/check.log || { cat $*/check.log; exit 1; }
	@touch $@

define new_venv
	$(check_python)
	@$(PYTHON) -m venv --clear $(1)
	@$(1)/bin/python $(PIP_INSTALL) -r $(2)
	@touch $(1)/pins
endef

define check_python
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo >&2 \
		"Outlast needs Python 3.11 or newer, and '$(PYTHON)' is not. Name one that is: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { echo >&2 \
		"'$(PYTHON)' cannot make environments: its venv module is missing or incomplete. On Debian and Ubuntu, as root: apt-get install python3-venv"; exit 1; }
endef
