# `make` alone lists the targets.
PYTHON ?= python3
WORKERS ?= 2
NUMERICAL := tests/analysis/explain tests/bank tests/diffusion tests/metrics tests/models
SECONDS ?= 60
FRAMES ?= 16
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# What `make demo` needs; what the checks and tests need besides.
RUNTIME := $(VENV)/.runtime
READY := $(VENV)/.ready
# A build of PyTorch by its name at download.pytorch.org, such as cpu or cu126; without it the one of PyPI.
TORCH ?=

DEMO_INPUT := assets/bigbuckbunny.mp4
DEMO_PROMPT ?= pencil sketch
DEMO_OUTPUT ?= demo_pencil.mp4

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-failed test-isa check format docs bench bench-transcoder bench-gpu soak faults sweep fuzz train-mini eval-mini quality probe paper demo-sheet clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## create .venv and install streamv2v with its development tools into it

$(RUNTIME): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	@echo "installing into $(VENV); the first time takes a few minutes"
	@test -n "$(TORCH)" || test -x $(BIN)/python || test "$$(uname)" != Linux || command -v nvidia-smi >/dev/null || \
	  echo "PyTorch from PyPI brings CUDA; without an NVIDIA GPU 'make demo TORCH=cpu' downloads less"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -z "$(TORCH)" || $(PIP) install --quiet --no-deps -c constraints.txt torch \
	  --index-url https://download.pytorch.org/whl/$(TORCH)
	@$(PIP) install --quiet -c constraints.txt -e '.[serve]'
	@touch $@

$(READY): $(RUNTIME)
	@echo "installing the development tools into $(VENV)"
	@$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(RUNTIME) ## restyle the clip in assets/ with the embedded model
	@$(BIN)/streamv2v run $(DEMO_INPUT) --prompt "$(DEMO_PROMPT)" -o "$(DEMO_OUTPUT)" -y
	@echo "The restyled clip is $(DEMO_OUTPUT)"

test: check ## run all checks and tests
	@$(BIN)/python -m pytest -q -n $(WORKERS)

test-failed: setup ## run once more what failed in the last `make test`, if all of it is marked `timing`
	@$(BIN)/python -m pytest -q --again

# A processor that lacks instructions takes what it has. Slow tests of the same kinds are in `make test` only. Two workers
# with two threads each would wait for each other, so the second way has one, and only what is computed for every frame.
test-isa: setup ## run the numerical tests under other instruction sets and threads, and with other rounding
	@set -e; for way in \
	  "ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OMP_NUM_THREADS=1" \
	  "ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=2 STREAMV2V_TEST_ROUNDING=1e-6"; do \
	  echo "numerical tests with $$way"; \
	  case "$$way" in *THREADS=2*) workers=0 tests="tests/bank tests/diffusion";; \
	  *) workers=$(WORKERS) tests="$(NUMERICAL)";; esac; \
	  env $$way $(BIN)/python -m pytest -q -n $$workers -p no:cacheprovider -m numerical $$tests; \
	done

check: setup ## lint, formatting, types, the Dockerfile, and known weaknesses of what is pinned
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/python -m tools.audit

format: setup ## fix formatting and what lint can fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: setup ## write docs/cli.md and docs/streamv2v.1 from the program's own help
	@$(BIN)/python -m tools.make_cli_docs

bench: setup ## measure speed (below 10 minutes); the table goes to benchmarks/results and docs/performance.md
	@-$(BIN)/python -m benchmarks.startup
	@$(BIN)/python -m benchmarks.standard
	@$(BIN)/python -m benchmarks.agreement --device cpu --model mini --size 128 --frames 12 --accel compile \
	  --json benchmarks/results/cpu-agreement.json
	@$(BIN)/python -m benchmarks.matching
	@$(BIN)/python -m benchmarks.tables

bench-transcoder: setup ## measure memory by length of the clip, and the transcoder alone against ffmpeg
	@$(BIN)/python -m benchmarks.memory
	@$(BIN)/python -m benchmarks.memory --translator passthrough --frames 500 5000 --clip 1280x720
	@$(BIN)/python -m benchmarks.transcode

bench-gpu: setup ## compare and measure the shape of Stable Diffusion 1.5 on an NVIDIA GPU (8 minutes)
	@$(BIN)/python -m benchmarks.agreement --seconds 200
	@$(BIN)/python -m benchmarks.standard --device cuda
	@$(BIN)/python -m benchmarks.matching --device cuda
	@$(BIN)/python -m benchmarks.tables

soak: setup ## long runs: memory, speed, sound against picture, sharpness (an hour or so)
	@$(BIN)/python -m benchmarks.soak
	@$(BIN)/python -m benchmarks.soak --translator diffusion --frames 5000

faults: setup ## signals at fifty random moments, a camera lost twenty times, and all other faults
	@STREAMV2V_SIGNAL_RUNS=50 STREAMV2V_CUTS=20 STREAMV2V_CUT_SECONDS=5 $(BIN)/python -m pytest -q \
		tests/robustness/test_faults.py tests/media/live/test_many_cuts.py

sweep: setup ## inputs of sixty kinds against ffprobe (5 minutes); the table goes to docs/reliability.md
	@$(BIN)/python -m tools.sweep

fuzz: setup ## search for inputs that break it; SECONDS=600 for each target
	@$(BIN)/python -m tools.fuzz --seconds $(SECONDS)

train-mini: setup ## train the embedded model anew (hours)
	@$(BIN)/python -m tools.train_mini all

eval-mini: setup ## measure the embedded model, write its card; or CLIPS="a.mp4 ..." to only measure it on those
	@$(BIN)/python -m tools.train_mini $(if $(CLIPS),clips --clips $(CLIPS),eval clips card sheets)

quality: setup ## measure the bank on real clips, write docs/quality.md (an hour); or CLIPS="a.mp4 ..." FRAMES=48
	@$(BIN)/python -m tools.quality --frames $(FRAMES) $(if $(CLIPS),--clips $(CLIPS) \
	  --document build/quality/own/quality.md --pictures build/quality/own/quality)
	@$(if $(CLIPS),,$(BIN)/python -m benchmarks.probe measure long report)

probe: setup ## train and measure the probe, a model that reads its bank, anew (hours)
	@$(BIN)/python -m benchmarks.probe all

paper: setup ## the paper's tables beside our own figures, on DAVIS with SD 1.5 (downloads 7 GB; hours on a GPU); ARGS="..."
	@$(BIN)/python -m benchmarks.paper $(ARGS)

demo-sheet: setup ## make docs/demo.jpg anew
	@$(BIN)/python -m tools.demo_sheet

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist *.egg-info demo_*.mp4 .pytest_cache .hypothesis .import_linter_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
