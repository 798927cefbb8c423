# make run      set everything up, ingest seeds/, publish, serve on http://127.0.0.1:8080
# make test     set everything up, run the tests
# make check    format, lint, types, layers
# make coverage the tests once more, with what they reach (nine tenths at least)
# make readers  five polls of newsboat, rss2email and reader against a running daemon
# make pages    pages in Chromium: axe-core, screenshots in .cache/pages/shots
# make crash    kill it at every moment and look at what is left (ten minutes at most)
# make attack   show every hostile article to a real browser (Chromium)
# make fuzz     look for input that breaks the readers, a minute each
# make bench    time it beside Hugo and nginx (installed with apt when they are missing)
# make bench-large  a million articles; up to an hour and a half, and 50 GB
# make install  put it on this machine as a service (Debian and relatives, as root); see docs/howto/systemd.md
# make uninstall  remove that again, but for data and configuration
# make systemd  try the service in a real systemd (systemd-nspawn, as root)
# make lock     resolve the dependencies anew
#
# Needs Python >= 3.11, make and a package index. Everything lands in .venv and var.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test check coverage format readers pages crash attack fuzz bench bench-large lock clean install uninstall systemd

# Where `make install` puts things. The interpreter must be one that the service's user can reach.
PREFIX ?= /opt/feedsync
BINDIR ?= /usr/local/bin
SYSCONFDIR ?= /etc
SYSTEM_PYTHON ?= /usr/bin/python3
UNITS := feedsync.service feedsync.socket feedsync-resync@.service feedsync-resync@.timer
ETC := $(DESTDIR)$(SYSCONFDIR)

run: $(READY)
	$(BIN)/feedsync resync || test $$? -eq 1
	@echo
	@$(BIN)/feedsync status
	@echo "Feeds: http://127.0.0.1:8080/ (all of them), http://127.0.0.1:8080/all.atom. Ctrl-C stops."
	$(BIN)/feedsync run

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal

crash: $(READY)
	$(BIN)/python -m tests.crash
	$(BIN)/python -m tests.test_histories 60 $$(date +%s)

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

coverage: $(READY)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --dist worksteal
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
	command -v hugo || apt-get install -y -qq hugo
	command -v nginx && command -v wrk || apt-get install -y -qq nginx wrk
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/arrival.py --stored 1000,10000
	$(BIN)/python benchmarks/fetch.py
	$(BIN)/python benchmarks/serve.py
	$(BIN)/python benchmarks/search.py

bench-large: $(READY)
	$(BIN)/python benchmarks/large.py

systemd: $(READY)
	$(BIN)/python -m pytest tests/systemd/service.py

# The versions and hashes are those of requirements.lock, less what only developers need.
install:
	$(SYSTEM_PYTHON) -m venv $(DESTDIR)$(PREFIX)
	mkdir -p build
	$(SYSTEM_PYTHON) systemd/pinned.py requirements.lock feedsync hatchling > build/pinned.txt
	$(DESTDIR)$(PREFIX)/bin/pip install --quiet --require-hashes --no-deps -r build/pinned.txt
	$(DESTDIR)$(PREFIX)/bin/pip install --quiet --no-deps --no-build-isolation --force-reinstall .
	sed -i '1s|^#!$(DESTDIR)|#!|' $(DESTDIR)$(PREFIX)/bin/feedsync
	install -d $(DESTDIR)$(BINDIR) $(ETC)/feedsync $(ETC)/systemd/system $(ETC)/sysusers.d $(ETC)/tmpfiles.d
	ln -sfn $(PREFIX)/bin/feedsync $(DESTDIR)$(BINDIR)/feedsync
	install -m 644 $(addprefix systemd/,$(UNITS)) $(ETC)/systemd/system/
	sed -i 's|/opt/feedsync|$(PREFIX)|' $(addprefix $(ETC)/systemd/system/,$(filter %.service,$(UNITS)))
	install -m 644 systemd/sysusers.conf $(ETC)/sysusers.d/feedsync.conf
	install -m 644 systemd/tmpfiles.conf $(ETC)/tmpfiles.d/feedsync.conf
	test -e $(ETC)/feedsync/feedsync.toml || sed \
	  -e 's|^url = "sqlite:///var/feedsync.db"|url = "sqlite:////var/lib/feedsync/feedsync.db"|' \
	  -e 's|^path = "var/public"|path = "/var/lib/feedsync/public"|' \
	  -e 's|^path = "seeds" |path = "/var/lib/feedsync/inbox" |' config/feedsync.toml > $(ETC)/feedsync/feedsync.toml
	$(DESTDIR)$(PREFIX)/bin/python -m feedsync --config $(ETC)/feedsync/feedsync.toml check-config > /dev/null
ifeq ($(DESTDIR),)
	systemd-sysusers $(SYSCONFDIR)/sysusers.d/feedsync.conf
	systemd-tmpfiles --create $(SYSCONFDIR)/tmpfiles.d/feedsync.conf
	if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	@echo "Installed. Edit $(SYSCONFDIR)/feedsync/feedsync.toml (set site.authority), then"
	@echo "    systemctl enable --now feedsync        or, after an upgrade: systemctl restart feedsync"
endif

# Stays: /etc/feedsync, /var/lib/feedsync and the user who owns it.
uninstall:
ifeq ($(DESTDIR),)
	if [ -d /run/systemd/system ]; then systemctl stop 'feedsync-resync@*' 'feedsync.*'; fi
	-systemctl --quiet disable $(UNITS)
	rm -f /var/lib/systemd/timers/stamp-feedsync-resync@*
endif
	rm -f $(addprefix $(ETC)/systemd/system/,$(UNITS)) $(ETC)/sysusers.d/feedsync.conf $(ETC)/tmpfiles.d/feedsync.conf
	rm -f $(DESTDIR)$(BINDIR)/feedsync
	rm -rf $(DESTDIR)$(PREFIX)
ifeq ($(DESTDIR),)
	if [ -d /run/systemd/system ]; then systemctl daemon-reload; systemctl reset-failed 'feedsync*' || true; fi
	@echo "Removed. Left: $(SYSCONFDIR)/feedsync, /var/lib/feedsync and the user feedsync, who owns it."
endif

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
