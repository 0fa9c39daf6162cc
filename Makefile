# The index of this repository: `make` or `make help`.
# Every target sets up what it needs (.venv, node_modules) and nothing outside this folder.

BIN := .venv/bin
PYTHON_BIN := $(BIN)/python
PINS := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make pins" $(UPGRADE:%=--upgrade)

# `cdk` runs `python3 app.py`, and both need `node`: all of them are the environment's
export PATH := $(CURDIR)/$(BIN):$(PATH)
# one thread per process: the tests and the demo run several processes on few cores
export OMP_NUM_THREADS ?= 1
# setup leaves compiling to the first import; where it may not be kept, every start of CDK and PyTorch would pay again
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-unit kubernetes check check-format check-types check-imports check-generated \
	synth diff images bench bench-train bench-data bench-recovery bench-checkpoint bench-agent bench-plan \
	schemas certificate pins clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## the environment, pinned packages, PyTorch and the CDK CLI; skips what is done
	@sh tools/setup.sh

demo: setup ## the main job: deploy to an embedded AWS, train, lose a node, heal, report
	@$(BIN)/paceline demo

test: test-unit ## all tests: unit, contract, snapshot, integration, neuron, kubernetes, chaos
	$(BIN)/pytest --durations=10 tests/integration tests/neuron tests/kubernetes tests/chaos

test-unit: setup ## the fast tests: unit, contract, snapshot
	$(BIN)/pytest --durations=10 --numprocesses=2 tests/unit tests/contract tests/snapshot

kubernetes: setup ## Kubernetes' own API server for the tests of tests/kubernetes: built once, in some minutes
	@$(PYTHON_BIN) -m tools.kubernetes

check: check-format check-types check-imports check-generated ## format, lint, types, import contracts, generated files, links

check-format: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

check-types: setup
	$(BIN)/mypy

check-imports: setup
	$(BIN)/lint-imports

check-generated: setup
	$(PYTHON_BIN) -m stacks.schema --check
	$(PYTHON_BIN) -m stacks.reference --check
	$(PYTHON_BIN) -m stacks.permissions.extract --check
	$(BIN)/pytest --quiet tests/contract/test_house_schemas.py tests/contract/test_house_links.py

synth: setup ## the templates of all teams, into cdk.out, with every check; a line per stack
	@$(BIN)/cdk synth --quiet
	@$(PYTHON_BIN) tools/synth_table.py cdk.out

diff: setup ## what a deployment would change: make diff TEAM=sandbox
	@test -n "$(TEAM)" || { echo "error: diff of which team?" >&2; echo >&2; echo "hint: make diff TEAM=sandbox" >&2; exit 2; }
	@$(BIN)/paceline team diff '$(TEAM)'
	@$(BIN)/cdk diff --context teams='$(TEAM)' '$(TEAM)/*'

images: setup ## build what this machine can build, say what it skips and why: make images NAMES="cpu controller"
	@$(PYTHON_BIN) -m tools.images $(NAMES)

bench: setup ## every table of benchmarks/
	@for table in benchmarks/*.py; do $(PYTHON_BIN) -m benchmarks.$$(basename "$$table" .py) || exit 1; done

bench-train: setup ## tokens per second beside a plain loop, transformers and torchtitan (installs these apart)
	@$(PYTHON_BIN) -m benchmarks.train

bench-data: setup ## tokens per second of the loader beside Hugging Face datasets; resume in ten trillion tokens
	@$(PYTHON_BIN) -m benchmarks.data

bench-recovery: setup ## kill to next step beside torchrun, torchft and nvidia-resiliency-ext; debug model, then 135M
	@$(PYTHON_BIN) -m benchmarks.recovery
	@$(PYTHON_BIN) -m benchmarks.recovery_135m

bench-checkpoint: setup ## how long a step waits when every step is saved, beside torch.distributed.checkpoint
	@$(PYTHON_BIN) -m benchmarks.checkpoint

bench-agent: setup ## what the node agent costs with every continuous check on: processor, memory
	@$(PYTHON_BIN) -m benchmarks.agent

bench-plan: setup ## what the planner predicts beside published runs, and beside steps on this CPU
	@$(PYTHON_BIN) -m benchmarks.plan

schemas: setup ## what is generated: schemas for editors, the reference of parameters, the table of permissions, images
	$(PYTHON_BIN) -m stacks.schema
	$(PYTHON_BIN) -m stacks.reference
	$(PYTHON_BIN) -m paceline.health.runbooks
	$(PYTHON_BIN) -m stacks.permissions.extract
	$(PYTHON_BIN) -m paceline.recipe.json_schema
	$(PYTHON_BIN) -m paceline.recipe.reference
	$(PYTHON_BIN) -m paceline.images.reference

certificate: setup ## measure every engine against plain PyTorch, and write docs/reference/parity-certificate.md
	@$(PYTHON_BIN) -m tests.integration.certificate docs/reference/parity-certificate.md

pins: setup ## requirements*.txt from requirements*.in; UPGRADE=1 takes newer versions
	$(PINS) --output-file requirements-dev.txt requirements-dev.in
	$(PINS) --constraint requirements-dev.txt --output-file requirements.txt requirements.in
	$(PINS) --constraint requirements-dev.txt --no-deps --output-file requirements-deepspeed.txt requirements-deepspeed.in
	$(PINS) --constraint requirements-dev.txt --output-file images/common/build.txt images/common/build.in
	for name in cpu node-agent controller; do $(PINS) --constraint requirements-dev.txt \
		--output-file images/$$name/requirements.txt images/$$name/requirements.in || exit 1; done
	for name in gpu trainium trainium-native; do $(PINS) --no-deps \
		--output-file images/$$name/requirements.txt images/$$name/requirements.in || exit 1; done
	$(PINS) --output-file images/cluster-tools/requirements.txt images/cluster-tools/requirements.in
	$(PINS) --no-deps --output-file images/cluster-tools/binaries.txt images/cluster-tools/binaries.in

clean: ## caches and build outputs; keeps runs/, .venv and node_modules
	rm -rf cdk.out dist .engine .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -not -path './node_modules/*' -prune -exec rm -rf {} +
