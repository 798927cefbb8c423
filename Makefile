# make run      set everything up, ingest seeds/, publish, serve on http://127.0.0.1:8080
# make test     set everything up, run the tests
# make check    format, lint, types, layers, tests with coverage
# make crash    kill it at every moment and look at what is left (ten minutes at most)
# make attack   show every hostile article to a real browser (Chromium)
# make fuzz     look for input that breaks the readers, a minute each
# make bench    time it against Hugo (installed with apt when it is missing)
# make lock     resolve the dependencies anew
#
# Needs Python >= 3.11, make and a package index. Everything lands in .venv and var.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test crash attack fuzz check format bench lock clean

run: $(READY)
	$(BIN)/feedsync resync || test $$? -eq 1
	@echo
	@$(BIN)/feedsync status
	@echo "Feeds: http://127.0.0.1:8080/ (all of them), http://127.0.0.1:8080/all.atom. Ctrl-C stops."
	$(BIN)/feedsync run

test: $(READY)
	$(BIN)/python -m pytest

crash: $(READY)
	$(BIN)/python -m tests.crash

attack: $(READY)
	FEEDSYNC_ATTACK=1 $(BIN)/python -m pytest tests/hostile

fuzz: $(READY)
	$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet atheris || \
	  (echo "skipped: atheris cannot be had for this Python; make test fuzzes with hypothesis" && false)
	$(BIN)/python -m tests.fuzz

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python benchmarks/ingest.py

lock: $(READY)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header \
	  --generate-hashes --group dev pyproject.toml -o requirements.lock

$(READY): pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  ($(PYTHON) -m pip install --quiet --user virtualenv && $(PYTHON) -m virtualenv --quiet $(VENV))
	$(BIN)/python -c 'import sys; sys.exit("feedsync needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf $(VENV) var .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
