# `make quickstart` and `make test` do everything on a fresh machine, environment included.

PYTHON ?= python3
VENV   ?= .venv
RUN    := $(VENV)/bin/python
READY  := $(VENV)/.ready
# a tree with recipes and integrations where the installed package has them, for the type checker
TYPES  := build/types

.PHONY: help quickstart compare leaderboard bench bench-gpu docs examples test studies test-oldest lint types format dist clean

help:
	@echo "make quickstart   fine-tune on real images, write runs/quickstart/report.html"
	@echo "make bench        time and memory, written to benchmarks/results"
	@echo "make bench-gpu    the same on one GPU, a few minutes"
	@echo "make docs         build the documentation in site/"
	@echo "make examples     run the notebooks of examples/ and save their outputs"
	@echo "make test         run the tests of the library and the recipes"
	@echo "make lint         check style and types"
	@echo "make test-oldest  run the tests of the library on the oldest supported versions"
	@echo "make dist         build the sdist and the wheel in dist/, and check them"
	@echo "make studies      run the tests of the studies; studies/README.md says what these are"
	@echo "make compare      the quickstart's budget for our losses and PML's, write runs/compare"
	@echo "make leaderboard  thirty losses on three data sets, hours; write runs/leaderboard"

# One environment, which grows: each target adds what it needs and is not there yet.
NEEDS.quickstart := -e ".[quickstart]"
NEEDS.docs       := -e ".[quickstart,docs]"
NEEDS.examples   := -e ".[examples]"
NEEDS.lint       := -e ".[quickstart,lint]"
NEEDS.test       := -e ".[test]"
NEEDS.studies    := -e ".[test]" -r studies/requirements.txt

$(READY)-%: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 10) else f"PYTHON: wanted Python 3.10 or newer, got {v.major}.{v.minor}")'
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --disable-pip-version-check $(NEEDS.$*)
	@touch $@

$(READY)-studies: studies/requirements.txt

quickstart: $(READY)-quickstart
	$(RUN) -m pml_suprank.recipes.commands.quickstart --output runs/quickstart $(ARGS)

compare: $(READY)-quickstart
	$(RUN) -m studies.compare --output runs/compare $(ARGS)

leaderboard: $(READY)-studies
	$(RUN) -m studies.leaderboard --output runs/leaderboard --workers 2 $(ARGS)
	$(RUN) -m studies.leaderboard.whole_network --output runs/leaderboard --workers 2
	$(RUN) -m studies.leaderboard.whole_network --output runs/leaderboard --workers 2 --random-head --data emoji
	$(RUN) -m studies.leaderboard.robustness --output runs/robustness --workers 2
	$(RUN) -m studies.leaderboard.ablation --output runs/leaderboard --workers 2 --seeds 0 1 2
	$(RUN) -m studies.untuned --output runs/untuned
	$(RUN) -m studies.untuned --output runs/untuned --size medium --seeds 0 1 2

bench: $(READY)-quickstart
	$(RUN) -m benchmarks.rank_losses $(ARGS)
	$(RUN) -m benchmarks.evaluation $(ARGS)
	$(RUN) -m benchmarks.miners $(ARGS)
	$(RUN) -m benchmarks.samplers $(ARGS)
	$(RUN) -m benchmarks.two_passes $(ARGS)
	$(RUN) -m benchmarks.figure

bench-gpu: $(READY)-quickstart
	$(RUN) -m benchmarks.gpu $(ARGS)

docs: $(READY)-docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict $(ARGS)

examples: $(READY)-examples
	OMP_NUM_THREADS=1 $(RUN) docs/_tools/notebooks.py $(ARGS)

# one test process for each core, one thread each: small tensors gain nothing from more
test: $(READY)-test
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --ignore tests/studies $(ARGS)

studies: $(READY)-studies
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto tests/studies $(ARGS)

lint: $(READY)-lint
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	@$(MAKE) --no-print-directory types

types: $(READY)-lint
	rm -rf $(TYPES) && mkdir -p $(TYPES) && cp -R pml_suprank studies $(TYPES)/ && cp -R recipes integrations $(TYPES)/pml_suprank/
	MYPYPATH=$(TYPES) $(RUN) -m mypy

format: $(READY)-lint
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

dist: $(READY)-test
	rm -rf dist build
	$(RUN) -m build
	$(RUN) -m twine check --strict dist/*

# A second environment, of the lowest versions that pyproject.toml allows. `make test-oldest PYTHON=python3.10` is the lowest Python.
test-oldest:
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --disable-pip-version-check -c tests/oldest.txt -e ".[test]"
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest -n auto --ignore tests/studies $(ARGS)

clean:
	rm -rf $(VENV) .venv-oldest build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
