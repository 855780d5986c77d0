# Two commands do everything on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.

# The first that is there; `make setup PYTHON=/path/to/python` names another.
VERSIONS := 3.11 3.12 3.13 3.14
PYTHON ?= $(or $(firstword $(foreach v,$(VERSIONS),$(shell python$(v) -c "" 2>/dev/null && echo python$(v)))),python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.docs
# Threads that wait for work must not take it from the tests beside them.
ONE_THREAD := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0

.PHONY: setup demo test test-bundle test-cluster test-wheel check format docs records sbom hashes release clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 15), f"Python 3.11 to 3.14 is needed, got {sys.version}"'
	@echo 'set-up: $(VENV) with $(PYTHON)'
	$(PYTHON) -m venv $(VENV)
	@echo 'set-up: torch, the largest download'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	@echo 'set-up: anomap and what else it needs, and the checks (some minutes)'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[app,dev,dicom]'
	touch $@

# Synthetic brains, a short training, detection, the table, and demo/report.html to look at.
demo: $(READY)
	$(BIN)/anomap demo -o demo

# Every test, a process a core; those that need a GPU or the development data skip, and say so.
test: $(READY)
	$(ONE_THREAD) $(BIN)/python -m pytest -n auto --dist loadfile

# The exported bundle in fresh environments, in MONAI Label, and (ANOMAP_ZOO names a checkout) under
# the model zoo's own check. It installs packages; some six minutes.
test-bundle: $(READY)
	ANOMAP_FULL=1 $(BIN)/python -m pytest -n0 tests/bundle/test_alone.py

# The wheel in an environment of its own, and the demo of what was installed.
test-wheel: $(READY)
	ANOMAP_FULL=1 $(BIN)/python -m pytest -n0 tests/test_wheel.py

# Several processes, Slurm, Dask and torchrun, one of each killed; and 200 kills at random moments.
test-cluster: $(READY)
	ANOMAP_FULL=1 $(ONE_THREAD) $(BIN)/python -m pytest -n0 tests/test_workers.py tests/study/test_parts.py tests/study/test_cluster.py tests/training/test_processes.py
	$(ONE_THREAD) $(BIN)/python tests/benchmarks/faults.py --kills 200 --of detection training benchmark phantoms export

# What must pass before a commit: format, lint, types, order of the rooms, complexity, fast tests.
check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/xenon --max-absolute B pipeline
	$(ONE_THREAD) $(BIN)/python -m pytest -q -n auto --dist loadfile -m 'not slow'

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The documentation as a site that needs no network: open site/index.html. A broken link stops it.
docs: $(DOCS_READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "documentation in site/index.html; open it in a browser"

$(DOCS_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

# The page of the files that are written, and their JSON Schemas, anew.
records: $(READY)
	$(BIN)/python docs/make_records.py

# What is pinned in constraints.txt as a bill of materials (CycloneDX).
sbom: $(READY)
	$(BIN)/python tools/pins.py sbom

# The hashes of all that is pinned; it asks the index for what is new (and needs pip-tools then).
hashes: $(READY)
	$(BIN)/python tools/pins.py hashes

# Checks, wheel and sdist in dist/, a trial of the wheel; it says what to do next and never tags.
release: $(READY)
	$(BIN)/python tools/release.py

clean:
	rm -rf $(VENV) demo site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .grimp_cache
