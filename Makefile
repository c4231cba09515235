# Two commands: `make demo` runs the main job on the embedded models, `make test` checks everything.
# Both make .venv and install on the first run; a second run installs nothing.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PY := .venv/bin/python
INSTALLED := .venv/.installed
TESTABLE := .venv/.installed-dev

.PHONY: demo learn learn-once test test-openenv test-verifiers lint types install clean
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

# Three trainings and their comparison with other ways to answer; an hour or more on two cores. Goes on where it stopped.
learn: $(TESTABLE)
	$(PY) benchmarks/learning.py --plot artifacts/learning/learning.png --page artifacts/learning/examples.html

learn-once: $(INSTALLED)
	$(PY) -m audioforge.policy.learn --out artifacts/learn -- --env.model synth --env.split procedural

lint: $(TESTABLE)
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .

types: $(TESTABLE)
	.venv/bin/pyright --pythonpath $(PY)

test: lint types
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist loadfile

# Two adapters' frameworks conflict with our pins: each gets an environment over .venv.
.venv-%/.installed: $(TESTABLE) requirements-%.txt
	test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	$(PY) -c "import site; print('import site; site.addsitedir(%r)' % site.getsitepackages()[0])" \
		> "$$(.venv-$*/bin/python -c 'import site; print(site.getsitepackages()[0])')/base.pth"
	.venv-$*/bin/python -m pip install -q --disable-pip-version-check -r requirements-$*.txt
	touch $@

test-openenv: .venv-openenv/.installed
	OMP_NUM_THREADS=1 .venv-openenv/bin/python -m pytest -q tests/adapters/test_openenv_env.py
	PYTHONPATH=. OMP_NUM_THREADS=1 .venv-openenv/bin/python examples/openenv_sessions.py

test-verifiers: .venv-verifiers/.installed
	OMP_NUM_THREADS=1 .venv-verifiers/bin/python -m pytest -q tests/adapters/test_verifiers_taskset.py
	PYTHONPATH=. OMP_NUM_THREADS=1 .venv-verifiers/bin/python examples/verifiers_eval.py

clean:
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .ruff_cache
