# Every target sets up what it needs: a virtual environment in the checkout with pinned packages, nothing global.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest --dist loadgroup --no-loadscope-reorder $(if $(CI),--durations=40)
PINS := $(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
RUNS := $(VENV)/.runs-$(PINS)
READY := $(VENV)/.ready-$(PINS)
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
unexport PYTHONDONTWRITEBYTECODE  # the tests start many processes, which would compile the package again

.PHONY: demo test test-slow test-notebooks notebooks gallery lint mypy basedpyright docs bench examples setup clean

setup: $(READY)

$(RUNS): pyproject.toml constraints.txt  # what runs need
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "zo-dno needs Python 3.11 or later; PYTHON=... names one")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e .
	@rm -f $(VENV)/.runs-* && touch $@

$(READY): $(RUNS)  # and what tests, linters, notebooks and the documentation need
	$(PIP) -e '.[dev]'
	@rm -f $(VENV)/.ready-* && touch $@

demo: $(RUNS)
	@rm -rf runs/demo
	$(BIN)/zo-dno run --prompt "city at dusk, with a tower" --steps 4 --reward jpeg_larger --held-out prompt_match \
		--strategy surrogate --queries 32 --baseline equal --seed 0 --out runs/demo

test: $(READY)  # three at once: some of their time they wait
	$(PYTEST) -n 3 -m "not notebook and not slow"

test-slow: $(READY)  # three at once: much of their time they wait for processes of their own
	$(PYTEST) -n 3 -m "slow and not notebook"

test-notebooks: $(READY)  # of one file: to import all the tests takes 20 s of each process
	$(PYTEST) -n 2 -m notebook tests/project/test_notebooks.py

notebooks: $(READY)  # executes them, and writes them with their outputs
	$(BIN)/python -m tests.support.notebooks

gallery: $(READY)  # runs the searches of docs/gallery.md that runs/gallery lacks, and writes the page
	$(BIN)/python -m benchmarks.gallery

lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	@$(MAKE) --no-print-directory --jobs 2 --output-sync mypy basedpyright
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m benchmarks.figures

mypy basedpyright: $(READY)
	$(BIN)/$@

docs: $(READY)
	$(BIN)/sphinx-build -q -W -b html docs docs/_build

bench: $(READY)
	$(BIN)/python -m benchmarks

# The examples' packages stand beside the environment: some would replace packages of it.
EXTRA := $(VENV)/examples-$(shell cat examples/requirements.txt examples/quality/environment.txt | cksum | cut -d' ' -f1)
EXAMPLE := PYTHONPATH=$(EXTRA)/packages $(BIN)/python examples

$(EXTRA): $(READY)
	@rm -rf $(VENV)/examples-*
	$(PIP) --no-deps --target $(EXTRA).new/packages -r examples/requirements.txt
	$(PYTHON) -m venv $(EXTRA).new/quality
	$(EXTRA).new/quality/bin/python -m pip install --quiet --disable-pip-version-check -r examples/quality/environment.txt
	$(BIN)/python -m tests.support.small_checkpoint $(EXTRA).new/small
	@mv $(EXTRA).new $(EXTRA)

examples: $(EXTRA)
	$(EXAMPLE)/faces/faces.py
	$(EXAMPLE)/terrain/terrain.py
	$(EXAMPLE)/title/title.py
	$(EXAMPLE)/qr_code/qr_code.py
	$(EXAMPLE)/quality/quality.py $(EXTRA)/quality/bin/python
	$(EXAMPLE)/lora/lora.py $(EXTRA)/small/checkpoint.safetensors $(EXTRA)/small/config $(EXTRA)/small/lora.safetensors

clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
