# `make` alone lists the targets. Everything runs in .venv, made from the lock; needs git, make and Python >= 3.11.
SHELL := bash
PYTHON ?= $(shell for p in python3.11 python3; do $$p -c 'pass' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --group build $(UPGRADE) pyproject.toml

.PHONY: help demo test check bench diff golden lock campaign chaos proto spark clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 17

demo: $(READY) ## recorded trips to premium factors, the whole pipeline: ends with a table and a report
	$(BIN)/ubi demo $(ARGS)

# All tests run in a process for each core; what ARGS narrows starts faster in one. The bytecode that some images forbid
# saves every process that a test starts the compilation of our modules.
test: export PYTHONDONTWRITEBYTECODE =
test: $(READY) ## run the tests (ARGS='-k outbox' narrows them)
	$(BIN)/python -m pytest $(or $(ARGS),--numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder --durations=15)

check: $(READY) ## lint, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(READY) ## run the benchmarks, or one of them: make bench NAME=...
	$(BIN)/python -m tests.bench $(NAME)

diff: $(READY) ## what a change does to events, features and factors of recorded trips: make diff [BASE=ref]
	$(BIN)/python -m tests.golden.diff $(if $(BASE),--base $(BASE)) $(ARGS)

golden: $(READY) ## write the golden files again, on purpose; review the difference before you commit it
	$(BIN)/python -m tests.golden $(ARGS)

campaign: $(READY) ## run the long tests, many minutes
	HYPOTHESIS_PROFILE=campaign $(BIN)/python -m pytest -m long --timeout 3600 $(ARGS)

spark: .venv-spark/.ready ## test the Spark engine on a cluster of this machine; needs Java 17 and 2 GB of disk
	.venv-spark/bin/python -m pytest tests/features/test_spark.py $(ARGS)

chaos: $(READY) ## faults over recorded trips, and whether a price moves unflagged; some 10 min of CPU
	$(BIN)/python -m tests.chaos $(ARGS)

proto: $(READY) ## generate the wire code from the .proto files
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. $$(find device replay_data -name '*.proto')

lock: $(READY) ## resolve the locks from pyproject.toml (UPGRADE=--upgrade for newer versions)
	$(COMPILE) --extra dev -o lock/dev.txt
	$(COMPILE) --extra device -c lock/dev.txt -o lock/device.txt
	$(COMPILE) --extra peers -c lock/dev.txt -o lock/peers.txt
	$(COMPILE) --extra spark -c lock/dev.txt -o lock/spark.txt

clean: ## remove the environment, caches and outputs
	rm -rf .venv .venv-spark .mypy_cache .pytest_cache .ruff_cache .hypothesis build ubi.egg-info bench-results demo-out
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): lock/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: Python >= 3.11 is needed; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r lock/dev.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

# An environment of its own: pyspark alone takes 450 MB. Its lock agrees with that of the tests.
.venv-spark/.ready: lock/dev.txt lock/spark.txt pyproject.toml
	$(PYTHON) -m venv .venv-spark
	.venv-spark/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r lock/dev.txt -r lock/spark.txt
	.venv-spark/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
