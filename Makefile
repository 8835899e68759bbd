# Two commands are all that a newcomer needs: `make run` and `make test`. Everything here works in .venv.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# Keep bytecode whatever the shell says: without it each process of the tests rewrites the assertions of all of them again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test pure lint check format generate messages docs browser picture bench proof oracle soak fuzz validators versions dist wheels clean

run: $(READY)  ## the main job: the gate, on the embedded simulator
	$(BIN)/sora-harness conform

test: $(READY)  ## a quarter of the examples, more processes than cores: many tests wait
	$(BIN)/python -m pytest -n 7 --dist loadscope -q

pure: $(READY)  ## the judge's tests again, without the accelerator; planted bugs are about Python either way
	SORA_HARNESS_PURE=1 $(BIN)/python -m pytest -n 4 --dist loadscope -q --ignore tests/oracle/test_planted.py tests/oracle tests/judge/test_pipeline.py tests/judge/test_sample_reader.py tests/judge/test_slices.py

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate.py --check

check: lint test pure

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(READY) messages  ## schemas/ and the generated pages of docs/
	$(BIN)/python scripts/generate.py

messages: $(READY)  ## the catalogues of messages; says which have no translation
	$(BIN)/python scripts/messages.py

docs: $(READY)  ## the site of docs/, in build/docs/site; a broken link is an error
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/python scripts/docs_site.py

browser: $(READY)  ## what the tests of pages need besides Chromium itself; without it they are skipped
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'

picture: browser  ## docs/img/report.png, for the READMEs
	$(BIN)/python scripts/picture.py

bench: $(READY)  ## speed, as ratios within one run
	$(BIN)/python scripts/bench.py
	SORA_HARNESS_PURE=1 $(BIN)/python scripts/bench.py
	$(BIN)/python scripts/bench_load.py

proof: $(READY)  ## all examples of the tests, then the large counts, with fixed seeds; figures go to docs/PROOF.md
	$(BIN)/python -m pytest -n 4 --dist loadscope -q --hypothesis-profile=full
	$(BIN)/python scripts/proof.py

oracle: $(READY)  ## how well the judge tells right from wrong
	$(BIN)/python scripts/proof.py mutants crossed alarms simulator planted

DURATION ?= 10m

soak: $(READY)  ## a fixed rate for long: memory and latency tested for drift
	$(BIN)/python scripts/soak.py --duration $(DURATION)

fuzz: $(READY)  ## the accelerator against Python, on random editions and bodies, with gcc's sanitizers
	$(BIN)/python scripts/fuzz.py --duration $(DURATION) $(if $(SEED),--seed $(SEED)) $(if $(CASES),--cases $(CASES))

validators: $(READY)  ## schemas/ in five JSON Schema validators, of those that can be run here
	$(BIN)/python scripts/validators.py

versions: $(READY)  ## a core of it all with the lowest and the newest versions allowed, on each Python here; docs/COMPATIBILITY.md
	$(BIN)/python scripts/versions.py --write

dist: $(READY)  ## sdist and wheel, checked; SORA_HARNESS_REPOSITORY=https://… says where the links of README lead
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python scripts/check_dist.py dist

wheels: $(READY)  ## wheels for manylinux and musllinux, in containers
	$(BIN)/python -m cibuildwheel --platform linux

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(READY): pyproject.toml constraints.txt hatch_build.py harness/sora_stats_harness/judge/_accelerator.c
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[charts,dev,hypothesis,load,pytest]'
	touch $(READY)
