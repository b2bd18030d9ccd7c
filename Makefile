# The commands of this project: `make help` lists them.

# Debian's, where it is new enough: it is built by profile, and a log-in costs an eighth less with it.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell /usr/bin/python3 -c '$(NEW_ENOUGH)' 2>/dev/null && echo /usr/bin/)python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.test-installed
BENCH_STAMP := $(VENV)/.bench-installed

.PHONY: help test lint demo bench deb fuzz clean

help:
	@echo "make demo          see it work: five protocols, two real servers, one proxy"
	@echo "make demo CHECK=1  the same, ending with status 0 or 1"
	@echo "make test          all checks and tests"
	@echo "make lint          the checks alone"
	@echo "make bench         measure this program and others side by side (a quarter of an hour)"
	@echo "make bench QUICK=1 the ratios to nginx and the original alone (under 3 minutes)"
	@echo "make bench SOAK=1  this program alone: many sessions, evenness, growth, start"
	@echo "make bench MAPS=1  look-ups a second in maps of 100,000 users"
	@echo "make bench AGAINST=/another/checkout  with another version; DOCS=1 updates docs/;"
	@echo "                   OPTIONS='--works imap-login --rounds 5': see OPTIONS=--help"
	@echo "make deb           Debian packages, in dist/"
	@echo "make fuzz          have a fuzzer look for faults in every parser, 20,000 runs each;"
	@echo "                   OPTIONS='client-imap4 --runs 0 --seconds 300': see OPTIONS=--help"
	@echo "make clean         remove what these have made"

$(STAMP): setup.py pyproject.toml
	@$(PYTHON) -c '$(NEW_ENOUGH)' || \
	    { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || \
	    { [ "$$(id -u)" = 0 ] && echo "Installing python3-venv" && \
	      apt-get install -y -qq python3-venv >/dev/null && $(PYTHON) -m venv $(VENV); } || \
	    { rm -rf $(VENV); echo "No virtual environment: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install -q --disable-pip-version-check -e '.[demo,tls]'
	@touch $@

# Two of the libraries are compiled, and one loads unixODBC's.
FOR_MAPS = gcc libc6-dev python3-dev libldap-dev libsasl2-dev libdb-dev unixodbc
HAS_FOR_MAPS = [ -f /usr/include/ldap.h ] && /sbin/ldconfig -p | grep -q libodbc.so.2

$(TEST_STAMP): $(STAMP)
	@[ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || { $(HAS_FOR_MAPS); } || \
	    { echo "Installing what the libraries of maps need"; \
	      apt-get install -y -qq $(FOR_MAPS) >/dev/null; }
	@{ $(BIN)/pip install -q --disable-pip-version-check -e '.[test]' && \
	    $(BIN)/python -c 'import pyodbc'; } || \
	    { echo "For the libraries of maps: apt-get install $(FOR_MAPS)"; exit 1; }
	@touch $@

lint: $(TEST_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -n 2

demo: $(STAMP)
	$(BIN)/python -m perdition.tools.demo $(if $(CHECK),--check)

$(BENCH_STAMP): $(if $(MAPS),$(TEST_STAMP),$(STAMP))
	$(BIN)/pip install -q --disable-pip-version-check -e '.[bench]'
	@touch $@

BENCH_OPTIONS = $(strip $(if $(QUICK),--quick) $(if $(SOAK),--soak) \
    $(if $(AGAINST),--against '$(AGAINST)') $(if $(DOCS),--write-docs) $(OPTIONS))

bench: $(BENCH_STAMP)
	$(BIN)/python -m bench.$(if $(MAPS),lookups $(if $(DOCS),--write-docs) $(OPTIONS),run $(BENCH_OPTIONS))

# Built in a copy, so that nothing is left in the checkout and beside it; with Debian's Python, even
# where another one comes first.
DEB_FILES = CHANGELOG.md LICENSE README.md conf debian docs init lib pyproject.toml setup.py
DEB_BUILD = build/deb
DIST = dist

deb:
	@command -v dpkg-buildpackage >/dev/null && command -v dh >/dev/null || \
	    { echo "What packages are built with is missing: apt-get build-dep ./"; exit 1; }
	rm -rf $(DEB_BUILD)
	mkdir -p $(DEB_BUILD)/perdition $(DIST)
	tar -c --exclude=__pycache__ --exclude='*.egg-info' $(DEB_FILES) | tar -x -C $(DEB_BUILD)/perdition
	cd $(DEB_BUILD)/perdition && PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg-buildpackage -us -uc -b
	mv $(DEB_BUILD)/*.deb $(DEB_BUILD)/*.changes $(DEB_BUILD)/*.buildinfo $(DIST)/

fuzz: $(TEST_STAMP)
	$(BIN)/python tests/fuzz $(OPTIONS)

clean:
	rm -rf $(VENV) build dist bench/build bench/results .pytest_cache .mypy_cache .ruff_cache .hypothesis lib/*.egg-info
