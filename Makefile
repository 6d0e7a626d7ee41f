# Two commands matter: `make train-all` and `make test`. `make help` lists the others.
UV_VERSION := 0.13.9
UV := $(or $(shell command -v uv),.tools/bin/uv)
# What is installed stays: a worker on a GPU machine must not fall back to the CPU's TensorFlow.
EXTRA ?= $(or $(patsubst .venv/installed-%,%,$(firstword $(wildcard .venv/installed-*))),train)
EXTRAS := train gpu jax backbones
export DO_NOT_TRACK := 1

# A misspelt variable would be passed over in silence, after hours.
VARIABLES := SOURCE RECIPE ARCHITECTURES FORCE EXTRA KIND POOL GPU CORES PORT UV
MISSPELT := $(filter-out $(VARIABLES),$(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name))))
$(if $(MISSPELT),$(error unknown variable '$(firstword $(MISSPELT))'; choose from $(VARIABLES)))
ifeq ($(EXTRA),cpu)
$(warning EXTRA=cpu is now EXTRA=train; the old name works for one version)
override EXTRA := train
endif
COMMA := ,
CHOSEN := $(subst $(COMMA), ,$(EXTRA))
$(if $(filter-out $(EXTRAS),$(CHOSEN)),$(error unknown EXTRA '$(EXTRA)'; choose from $(EXTRAS), several with commas between))
$(if $(filter train gpu jax,$(CHOSEN)),,$(error EXTRA=$(EXTRA) has no backend of Keras; add one, for example EXTRA=train$(COMMA)$(EXTRA)))
$(if $(and $(findstring command line,$(origin FORCE)),$(filter-out 0 1,$(FORCE))),$(error unknown FORCE '$(FORCE)'; choose from 0 1))

.DEFAULT_GOAL := help
.PHONY: help install train-all deploy worker test test-slow test-faults check docs ui ui-flows clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

install: .venv/installed-$(EXTRA) ## Set up the locked environment (EXTRA=train, gpu or jax; with weights of backbones: train,backbones)

.venv/installed-$(EXTRA): uv.lock pyproject.toml | $(UV)
	$(UV) sync --locked --compile-bytecode $(addprefix --extra ,$(CHOSEN))
	@rm -f .venv/installed-* && touch $@

.tools/bin/uv:
	python3 -m venv .tools
	.tools/bin/pip install --quiet uv==$(UV_VERSION)

train-all: install ## Run the main job: check, train, compare, promote (SOURCE=, RECIPE=, ARCHITECTURES=, FORCE=1)
	@exec .venv/bin/python -m flows $(if $(SOURCE),--source "$(SOURCE)") $(if $(RECIPE),--recipe "$(RECIPE)") \
		$(if $(ARCHITECTURES),--architectures "$(ARCHITECTURES)") $(if $(filter 1,$(FORCE)),--force)

deploy: install ## Create work pools and deployments on the server in PREFECT_API_URL (KIND=process, docker, kubernetes)
	.venv/bin/python -m flows.deploy $(if $(KIND),--kind "$(KIND)")

worker: install ## Start a Prefect worker on one GPU or on CPU cores (GPU=0, CORES=4); with POOL=control it runs train-all
	exec .venv/bin/python -m flows.worker $(if $(POOL),--pool "$(POOL)") $(if $(GPU),--gpu "$(GPU)") \
		$(if $(CORES),--cores "$(CORES)")

test: install ## Run the tests
	.venv/bin/python -m pytest -m "not slow" --numprocesses 3 --dist loadfile \
		--no-loadscope-reorder --ignore tests/faults tests

test-slow: install ## Run the tests that take long or need real faces
	.venv/bin/python -m pytest -m slow

test-faults: install ## Run the tests that kill workers and servers and wait until the failure is detected
	.venv/bin/python -m pytest --numprocesses 2 --dist worksteal tests/faults

check: install ## Run formatter, linter and type checker
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

docs: install ## Build the documentation site into site/, with its links checked
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build

ui: install ## Open the runs and models in MLflow, http://127.0.0.1:5000 (PORT=)
	exec .venv/bin/python -m unveil.registry $(if $(PORT),"$(PORT)")

ui-flows: install ## Open the flows in Prefect, http://127.0.0.1:4200
	.venv/bin/prefect server start --host 127.0.0.1 --port 4200

# Listed one by one, so that nothing is lost that no stage makes again or that a person put there.
GENERATED := data/02_manifest data/03_packed data/04_models data/06_audit/suspects.html \
	$(addprefix data/05_reports/,architectures comparison.json comparison.md data_card data_card.md \
	explanations hardware.md report.html) $(addprefix data/06_audit/,features folds)

clean: ## Remove generated files; keep raw data, decisions, suspects.csv, bundles, extra seeds, journals and MLflow
	rm -rf $(GENERATED) .pytest_cache .mypy_cache .ruff_cache
