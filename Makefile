# make run      set everything up, ingest seeds/, publish, serve on http://127.0.0.1:8080
# make test     set everything up, run the tests
# make check    format, lint, types, layers, tests with coverage
# make readers  five polls of newsboat, rss2email and reader against a running daemon
# make pages    pages in Chromium: axe-core, screenshots in .cache/pages/shots
# make bench    time it against Hugo (installed with apt when it is missing)
# make lock     resolve the dependencies anew
#
# Needs Python >= 3.11, make and a package index. Everything lands in .venv and var.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test check format readers pages bench lock clean

run: $(READY)
	$(BIN)/feedsync resync || test $$? -eq 1
	@echo
	@$(BIN)/feedsync status
	@echo "Feeds: http://127.0.0.1:8080/ (all of them), http://127.0.0.1:8080/all.atom. Ctrl-C stops."
	$(BIN)/feedsync run

test: $(READY)
	$(BIN)/python -m pytest

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

# The readers have needs of their own, so they live apart. sgmllib3k: reader brings a parser that imports it.
readers: $(READY) .cache/readers/.ready
	$(BIN)/python -m pytest tests/readers/five_polls.py

.cache/readers/.ready:
	command -v newsboat || apt-get install -y -qq newsboat
	$(PYTHON) -m venv .cache/readers
	.cache/readers/bin/python -m pip install --quiet reader rss2email sgmllib3k
	touch $@

pages: $(READY) .cache/pages/.ready
	$(BIN)/python -m pytest tests/pages/in_chromium.py

.cache/pages/.ready: tests/pages/package.json
	test -x /usr/bin/chromium || apt-get install -y -qq chromium fonts-noto-cjk
	mkdir -p .cache/pages
	cp tests/pages/package.json .cache/pages/
	npm install --prefix .cache/pages --no-audit --no-fund --silent
	touch $@

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
	rm -rf $(VENV) .cache var .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
