# One command a habit. The first one sets up what it needs, later ones only when pyproject.toml
# changed. Works with GNU Make 3.81, which is what macOS brings.
#
#   .venv            granite-mlx as a user gets it (editable); `make test` adds the tools to it
#   .venv-reference  the same with torch, transformers and peft, for what compares with them, and Ray
#   .venv-mlx-audio  mlx-audio as its users have it, for what is exchanged with it

PYTHONS := python3 python3.14 python3.13 python3.12 python3.11
RECENT := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach python,$(PYTHONS),$(shell $(python) -c '$(RECENT)' 2>/dev/null && echo $(python))))
PYTHON_FOUND = $(or $(PYTHON),$(error Python 3.11 or later is needed: install it, or name it: make PYTHON=/path/to/python3))

WORK ?= demo/work
EXAMPLE := granite_mlx/demo_checkpoint/examples/digits.flac
INSTALL := bin/pip --disable-pip-version-check install --quiet

.PHONY: help demo test test-all test-slow bench lint format types parity held-out fixtures wheel clean

help:
	@echo "make demo      set up and transcribe a real recording, offline"
	@echo "make test      set up and run the tests (minutes)"
	@echo "make test-all  and the slow ones: parity with torch and peft, mlx-audio, browser, Ray, wheel"
	@echo "make test-slow the slow ones alone"
	@echo "make bench     ours and mlx-audio side by side on this machine (at most 15 minutes)"
	@echo "make lint      ruff: rules and format        make format   let ruff mend both"
	@echo "make types     mypy --strict on the package and benchmarks/"
	@echo "make parity    compare with torch/transformers, live, and print the differences"
	@echo "make held-out  parity on every recording in WORK, and word errors in half precision"
	@echo "make fixtures  make the stored reference values anew"
	@echo "make wheel     build sdist and wheel into dist/"
	@echo "make clean     remove environments, builds and caches"

demo: .venv/installed
	.venv/bin/granite-mlx transcribe -m demo $(EXAMPLE)

# As many processes as cores: one test seldom uses more than one. A file's tests stay together, since
# they share what they load. `.venv/bin/pytest` alone runs them one after the other.
test: .venv/installed-dev
	.venv/bin/pytest -n auto --maxprocesses 4 --dist loadfile

test-all: test test-slow

# In the second environment, since the first has to show that the product needs no torch.
test-slow: .venv-reference/installed .venv-mlx-audio/installed
	GRANITE_MLX_AUDIO_PYTHON=$(CURDIR)/.venv-mlx-audio/bin/python .venv-reference/bin/pytest -m slow

bench: .venv/installed-bench .venv-mlx-audio/installed
	.venv/bin/python -m benchmarks.run --quick

lint: .venv/installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

format: .venv/installed-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

types: .venv/installed-dev
	.venv/bin/mypy

parity: .venv-reference/installed
	.venv-reference/bin/python tests/parity/reference.py
	.venv-reference/bin/python tests/parity/demo_reference.py

# Of the demo's recipe: WORK is the folder in which `python -m demo.corpus` made its recordings.
held-out: .venv-reference/installed
	.venv-reference/bin/python tests/parity/demo_reference.py --corpus $(WORK)
	.venv-reference/bin/python -m demo.half_precision --work $(WORK)

fixtures: .venv-reference/installed
	.venv-reference/bin/python tests/parity/reference.py --write
	.venv-reference/bin/python tests/parity/demo_reference.py --write
	.venv-reference/bin/python tests/convert/adapter_reference.py --write

# `build` makes the wheel from the sdist, so nothing that lies about here gets into it.
wheel: .venv/installed-dev
	rm -rf dist
	.venv/bin/python -m build --outdir dist

# pip comes last into an environment: where it is, the environment is whole.
%/bin/pip:
	$(PYTHON_FOUND) -m venv $*

.venv/installed: pyproject.toml | .venv/bin/pip
	.venv/$(INSTALL) -e .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/pip
	.venv/$(INSTALL) -e '.[dev]'
	touch .venv/installed $@

.venv/installed-bench: pyproject.toml | .venv/bin/pip
	.venv/$(INSTALL) -e '.[bench]'
	touch .venv/installed $@

.venv-reference/installed: pyproject.toml | .venv-reference/bin/pip
	.venv-reference/$(INSTALL) -e '.[corpus,dev,reference]'
	touch $@

# What is exchanged with mlx-audio was studied in this version of it.
.venv-mlx-audio/installed: | .venv-mlx-audio/bin/pip
	.venv-mlx-audio/$(INSTALL) mlx-audio==0.6.2 'mlx[cpu]'
	touch $@

clean:
	rm -rf .venv .venv-* build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
