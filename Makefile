# Everything runs in a virtual environment of its own, made from the locked dependencies.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
EMULATORS := $(VENV)/emulators
N ?= 2000
# A process more than cores, since many tests wait for servers of their own; the tests of one file stay together, and
# files keep the order in which tests/conftest.py has them.
PARALLEL ?= -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --maxprocesses 5 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test emulators browser simulate chaos fuzz lint types imports format chart docs mermaid promtool benchmark sbom lock clean

help: ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

$(READY): requirements/dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(READY) ## the whole story on this machine
	$(BIN)/promotion-bot demo $(ARGS)

test: $(READY) ## all tests: make test ARGS=tests/domain
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

emulators: ## the stand-in for Azure Blob Storage that some tests need; from npm
	mkdir -p $(EMULATORS)
	cp tests/stores/azurite/package.json tests/stores/azurite/package-lock.json $(EMULATORS)
	cd $(EMULATORS) && npm ci --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error

browser: ## the browser that tests of the board drive; from Debian, where none is installed
	for name in chromium chromium-browser google-chrome google-chrome-stable; do command -v $$name && exit; done; \
		$(SUDO) apt-get update -qq && $(SUDO) apt-get install -qq --no-install-recommends chromium

simulate: $(READY) ## schedules of what can go wrong, in memory: make simulate N=10000, or ARGS="--seed 7"
	$(BIN)/python -m tests.simulation --count $(N) $(ARGS)

chaos: $(READY) ## real processes, killed and disturbed for some minutes, then the promises
	$(BIN)/python -m tests.chaos $(ARGS)

fuzz: $(READY) ## whatever comes from outside, twenty times as much of it as in the tests
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest --timeout 3600 tests/fuzz $(ARGS)

lint: $(READY) ## style, Dockerfile, workflows, scripts, chart
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint Dockerfile
	$(BIN)/zizmor --offline --quiet .github/workflows examples/*/.github/workflows
	$(BIN)/actionlint -shellcheck $(BIN)/shellcheck .github/workflows/*.yml examples/*/.github/workflows/*.yml
	$(BIN)/shellcheck .ci/run examples/breast-cancer/*.sh examples/breast-cancer/scripts/*.sh
	$(BIN)/python -m charts.lint

types: $(READY) ## mypy --strict
	$(BIN)/mypy

imports: $(READY) ## the direction of imports
	$(BIN)/lint-imports

format: $(READY) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

chart: $(READY) ## the chart's README from its values
	$(BIN)/python -m charts.values_table

docs: $(READY) build/mermaid.min.js ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

mermaid: build/mermaid.min.js ## what draws the diagrams of the documentation: one file of a package; from npm

build/mermaid.min.js:
	mkdir -p build
	cd build && npm pack --silent @mermaid-js/tiny@11.17.2
	tar --extract --gzip --to-stdout --file build/mermaid-js-tiny-11.17.2.tgz package/dist/mermaid.tiny.js > $@
	rm build/mermaid-js-tiny-11.17.2.tgz
	echo "7a644017d37f93c8359790884e6b67fb1f747c78eb20475952404bd87190a3f8  $@" | sha256sum --check --quiet

promtool: build/promtool ## Prometheus' checker of alert rules: one file of Debian's or Ubuntu's package, nothing is installed

build/promtool:
	mkdir -p build
	cd build && (apt-get download prometheus || ($(SUDO) apt-get update -qq && apt-get download prometheus))
	dpkg-deb --fsys-tarfile build/prometheus_*.deb | tar --extract --to-stdout ./usr/bin/promtool > $@
	rm build/prometheus_*.deb
	chmod +x $@

benchmark: $(READY) ## speed, memory and cost, as a table
	$(BIN)/python -m benchmarks

sbom: $(READY) ## what the image is made of, as CycloneDX in build/sbom.json
	mkdir -p build
	$(BIN)/cyclonedx-py requirements requirements/runtime.txt --pyproject pyproject.toml --output-reproducible \
		--of JSON --output-file build/sbom.json

# Left out: what cyclonedx-bom brings for international addresses in jsonschema, which nobody here asks for and which adds
# two seconds to every import of it.
lock: $(READY) ## pin the dependencies anew
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--no-emit-package rfc3987-syntax --no-emit-package lark \
		--all-extras pyproject.toml --output-file requirements/dev.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--extra s3 --extra gcs --extra azure --extra otel pyproject.toml --output-file requirements/runtime.txt
	echo setuptools | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 --constraints requirements/dev.txt - --output-file requirements/build.txt

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
