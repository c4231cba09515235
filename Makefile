# Two commands: `make demo` runs the main job on the embedded models, `make test` checks everything.
# Both make .venv and install on the first run; a second run installs nothing.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PY := .venv/bin/python
INSTALLED := .venv/.installed
TESTABLE := .venv/.installed-dev

.PHONY: demo test lint types install clean
.DEFAULT_GOAL := demo

$(INSTALLED): requirements.txt requirements-nodeps.txt pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install -q --disable-pip-version-check "$$(grep ^torch== requirements.txt)"
	$(PY) -m pip install -q --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install -q --disable-pip-version-check --no-deps -r requirements-nodeps.txt
	$(PY) -m pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

$(TESTABLE): $(INSTALLED)
	$(PY) -m pip install -q --disable-pip-version-check -e ".[dev]"
	touch $@

install: $(INSTALLED)

demo: $(INSTALLED)
	$(PY) audioforge_env.py process

lint: $(TESTABLE)
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .

types: $(TESTABLE)
	.venv/bin/pyright --pythonpath $(PY)

test: lint types
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist loadfile

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
