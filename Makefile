# make reproduce   every figure and table of a preset (PRESET=digits, the default)
#                  or of your own images: make reproduce DATA=folder
# make figures     the same from records alone, in a minute: no network, no data
# make test        what a change must pass; make test-slow the long part
.DEFAULT_GOAL := help
PRESET ?= digits
RECIPE ?= cifar10-60-epochs

# An active conda environment other than base is used as it is; otherwise .venv.
ifneq ($(filter-out base,$(CONDA_DEFAULT_ENV)),)
ENV := $(CONDA_PREFIX)
else
ENV := .venv
endif
PYTHON := $(ENV)/bin/python
INSTALLED := $(ENV)/.coded-resnext-installed
# A test on every core, with one thread each: several threads beside a busy core wait for each other.
SIDE_BY_SIDE := OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto
# A folder that lives as long as the recipe that asks for it: tests never touch the records in git.
IN_SCRATCH := scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && CODED_RESNEXT_OUT="$$scratch"

# A name behind `make reproduce` is no goal but a preset whose PRESET= was forgotten: nothing is run for another.
ifneq ($(filter reproduce figures,$(MAKECMDGOALS)),)
ifneq ($(filter-out reproduce figures test lint publish,$(MAKECMDGOALS)),)
$(error which preset? make $(firstword $(MAKECMDGOALS)) PRESET=$(lastword $(MAKECMDGOALS)), or DATA= for a folder of images)
endif
endif

.PHONY: help reproduce figures test test-slow test-browser test-lowest faults mutants lint cifar-gpu rehearse-gpu lab publish pages docs schemes bench clean
help:
	@sed -n 's/^# \(make\)/\1/p' Makefile
	@echo 'make lab         JupyterLab on the notebooks'
	@echo 'make schemes     the built-in coding schemes again, from nothing; they must come out the same'
	@echo 'make faults      kills, flipped bits, bad input, load, counted into docs/reliability.md; 45 minutes'
	@echo 'make mutants     small mistakes in the code, and whether tests notice, counted there too; half an hour'
	@echo 'make test-lowest the fast tests with the lowest versions that pyproject.toml allows, in .venv-lowest'
	@echo 'make test-browser the explorer in Chromium; says what it wants where that is not installed'
	@echo 'make bench       step time and memory: coded, plain, written out'
	@echo 'make cifar-gpu   CIFAR-10, coded and plain side by side on one GPU (RECIPE=cifar10: 300 epochs); again to go on'
	@echo 'make rehearse-gpu   what scripts/gpu does on a card, here with tiny settings; ten minutes'
	@echo 'make publish     put the outputs of `make reproduce` into the notebooks in git, its claims into the README'
	@echo 'make pages       the README'"'"'s results, docs/claims, docs/compute.md and the presets'"'"' entries again from the records'
	@echo 'make docs        all pages and notebooks as a site that opens from the disk: build/site/index.html'
	@echo 'make lint        ruff; make clean forgets checkpoints and executed notebooks'

$(INSTALLED): requirements.hashes pyproject.toml
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || for python in python3.11 python3 python3.12 python3.13; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
		then $$python -m venv $(ENV) && break; fi; done
	@$(PYTHON) -m pip --version >/dev/null || { echo 'no Python 3.11 or newer found: install one, or conda env create -f environment.yml'; exit 1; }
	$(PYTHON) -m pip install --quiet --require-hashes -r requirements.hashes
	$(PYTHON) -m pip install --quiet --no-deps -e .
	@touch $@

reproduce: $(INSTALLED)
	@$(PYTHON) -m coded_resnext reproduce "$(or $(DATA),$(PRESET))" $(if $(FORCE),--force)

figures: $(INSTALLED)
	@$(PYTHON) -m coded_resnext figures "$(or $(DATA),$(PRESET))"

test: $(INSTALLED)
	$(SIDE_BY_SIDE) -m 'not slow'
	$(IN_SCRATCH) $(SIDE_BY_SIDE) --dist loadfile --nbval-lax notebooks

test-slow: $(INSTALLED)
	$(PYTHON) -m pytest -m slow

faults: $(INSTALLED)
	cd tests && OMP_NUM_THREADS=1 "$(abspath $(PYTHON))" -m faults.count

mutants: $(INSTALLED)
	cd tests && OMP_NUM_THREADS=1 "$(abspath $(PYTHON))" -m faults.mutants

# In an environment of its own, with what exists for Python 3.11 and 3.12 alone.
LOWEST := .venv-lowest
$(LOWEST)/.installed: requirements-lowest.txt
	@for python in python3.11 python3.12; do command -v $$python >/dev/null && $$python -m venv $(LOWEST) && break; done
	$(LOWEST)/bin/python -m pip install --quiet -r requirements-lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet --no-deps -e .
	@touch $@

test-lowest: $(LOWEST)/.installed
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n auto -m 'not slow'

# Installs nothing: a browser is the system's, and playwright would be the only package that brings its own.
test-browser: $(INSTALLED)
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
		|| { echo 'the explorer is tested in Chromium: apt-get install chromium'; exit 1; }
	@$(PYTHON) -c 'import playwright, axe_playwright_python' 2>/dev/null \
		|| { echo 'this wants two packages: $(PYTHON) -m pip install playwright axe-playwright-python'; exit 1; }
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest tests/explorer/test_browser.py

lint: $(INSTALLED)
	$(PYTHON) -m ruff check .

publish: $(INSTALLED)
	@$(PYTHON) -m coded_resnext publish $(PRESET)

pages: $(INSTALLED)
	@$(PYTHON) -m coded_resnext pages

docs: $(INSTALLED)
	@$(PYTHON) -c 'import furo, latex2mathml, myst_nb' 2>/dev/null || $(PYTHON) -m pip install --quiet -e '.[docs]'
	$(PYTHON) -m sphinx -q -W --keep-going -b html -d build/doctrees -c docs . build/site
	@echo build/site/index.html

schemes: $(INSTALLED)
	$(PYTHON) -m pip install --quiet -e '.[design]'
	OMP_NUM_THREADS=1 $(PYTHON) -m coded_resnext schemes $(if $(WRITE),--write)

bench: $(INSTALLED)
	$(PYTHON) -m coded_resnext bench

# Where Python and the packages are there already, as on most GPU machines, nothing is installed.
READY := import accelerate, filelock, safetensors, sklearn, sys, timm, torch, torchvision, tqdm, yaml; \
	assert sys.version_info >= (3, 11) and tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 11)
cifar-gpu:
	@if python3 -c '$(READY)' 2>/dev/null; then python=python3; \
	else $(MAKE) --no-print-directory $(INSTALLED) && python=$(PYTHON); fi \
	&& PYTHONPATH=src $$python -m coded_resnext together $(RECIPE) coded-s0 plain-s0

rehearse-gpu: $(INSTALLED)
	GPU_PYTHON="$(abspath $(PYTHON))" bash scripts/gpu/rehearse.sh

lab: $(INSTALLED)
	$(PYTHON) -m jupyter lab --notebook-dir=notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

clean:
	rm -rf data/runs .pytest_cache .ruff_cache build
