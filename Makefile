# Everything runs in a virtual environment of its own, .venv, made by the first target that needs
# it. PYTHON=... chooses the Python to make it with.

PYTHON ?=
BASE ?=
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
RUNNABLE := $(VENV)/.runnable
INSTALLED := $(VENV)/.installed
RELEASING := $(VENV)/.releasing

.DEFAULT_GOAL := help
.PHONY: help demo fleet test bench soak docs build release-test release lock lint format clean

help:
	@echo "make demo     watch an outage and a crash: nothing lost, nothing out of order"
	@echo "make fleet    watch relays: one is killed under load, then a node of their engine, 1 minute"
	@echo "make test     run all tests"
	@echo "make lint     check style (ruff) and types (mypy)"
	@echo "make docs     build the documentation as a site, in build/site"
	@echo "make build    build all packages, in dist"
	@echo "make release-test  build, sign and verify them, install each, send an event"
	@echo "make release  build, sign and publish the tagged version"
	@echo "make lock     take newer libraries into the packages"
	@echo "make format   put the code into the style that lint asks for"
	@echo "make bench    measure all of docs/performance.md against its goals, 6 minutes;"
	@echo "              with BASE=COMMIT, compare with that commit in the same run, 10 minutes;"
	@echo "              ARGS='--only TEXT --json FILE' for some rows, figures in a file"
	@echo "make soak     10 minutes of load while PagerDuty throttles and flaps"
	@echo "make chaos    200 faults of relays and their engine under load, 40 minutes;"
	@echo "              ARGS='--power-cuts --faults 20' for those, as root; ARGS=--pacing"
	@echo "make clean    remove .venv and everything that was built"

demo: $(RUNNABLE)
	@$(BIN)/python -m pdagent demo

fleet: $(INSTALLED)
	@$(BIN)/python -m tests.fleet_demo

# Those of tests/system wait for processes more than they compute: mixed with the others they keep
# the processors busy. Who has none left takes over some of another's, without a break of modules.
test: $(INSTALLED)
	@echo "All tests: about 6 minutes on two idle cores"
	$(BIN)/python -m pytest -q -n 4 --dist worksteal

bench: $(INSTALLED)
	@cd tests && ../$(BIN)/python -m bench $(BASE) $(ARGS)

soak: $(INSTALLED)
	@cd tests && ../$(BIN)/python -m bench.soak

chaos: $(INSTALLED)
	@$(BIN)/python -m tests.chaos $(ARGS)

# A link to a page or a section that is not there fails.
docs: $(INSTALLED)
	@$(PIP) --quiet -e '.[docs]'
	$(BIN)/zensical build --clean --strict

build: $(RELEASING)
	$(BIN)/python packaging/artifacts.py

release-test: $(RELEASING)
	$(BIN)/python packaging/trial.py

release: $(RELEASING)
	$(BIN)/python packaging/publish.py

lock: $(RELEASING)
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header pyproject.toml -o packaging/requirements.txt

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find pdagent actors store tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A Python that is too old, or a Debian without python3-venv, gets a line and not a traceback.
define CHOOSE_PYTHON
for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
  python=; \
done; \
if [ -z "$$python" ]; then \
  echo "Python 3.11 or later is needed, and $(or $(PYTHON),python3) is not:" \
    "install it, or name it with 'make PYTHON=/path/to/python3.11'" >&2; \
  exit 1; \
fi; \
if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
  echo "$$python can't make virtual environments: install its venv package" \
    "(Debian, Ubuntu: apt install python3-venv)" >&2; \
  exit 1; \
fi
endef

# The stamps make later runs start at once; a change of the dependencies installs again.
PIP := $(BIN)/python -m pip install --disable-pip-version-check

$(RUNNABLE): pyproject.toml
	@$(CHOOSE_PYTHON); \
	if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
	  echo "Making a virtual environment in $(VENV) with $$("$$python" --version)"; \
	  "$$python" -m venv --clear $(VENV); \
	fi
	@echo "Installing what pagerduty-agent needs into $(VENV)"
	@$(PIP) -e .
	@touch $@

$(INSTALLED): $(RUNNABLE)
	@echo "Installing what its development needs into $(VENV)"
	@$(PIP) -e '.[dev]'
	@touch $@

$(RELEASING): $(INSTALLED)
	@echo "Installing what builds the packages into $(VENV)"
	@$(PIP) --quiet -e '.[release]'
	@touch $@
