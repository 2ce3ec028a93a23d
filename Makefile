# The main targets: `make demo` runs the workflow on the embedded phantoms, `make test` runs the tests.
# Either sets up the environment in .venv first, once.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One line per stage; Snakemake's own messages are in .snakemake/log.
SNAKEMAKE := $(BIN)/snakemake --logger stages --cores all
# The environment finds the logger here, in any working directory.
LOGGER := terminal/snakemake_logger_plugin_stages/__init__.py
RESULTS := results
EXPORT := $(RESULTS)/export/n8-s0
ARCHIVE := $(RESULTS)/archive/run.zip
# For tests only: a browser and the BIDS validator, and nnU-Net on top of the workflow's environment.
OUTSIDE := .venv-outside
NNUNET := .venv-nnunet
DOCS := .venv-docs
# For `make study`: phantoms; brats with the folder of BraTS patients; lgg with a table of files.
COHORT := phantoms
DATA :=
# For `make study` and `make study-cell`: one cell, such as n5-s0, and some arms; by default all.
CELL :=
ARMS :=
# For `make study-development`: a configuration file to try.
SETTINGS :=
# For `make sampler`: a prior's model folder.
MODEL := embedded
# Rules that use all threads, to generate phantoms or to prepare batches for a GPU.
PRIOR_RULES := make_phantoms train_autoencoder encode_patients train_diffusion

# Packages are compiled at their first import. Without writing bytecode, each process would compile torch and MONAI again, for some seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-long test-hostile test-kills test-slurm test-report prior prior-brats study study-cell study-development verdicts kept bench curves sampler archive docs lint \
	format lock schema help

help:
	@echo "make demo        the whole workflow on the embedded phantoms; prints the verdict"
	@echo "make test        all tests except those below"
	@echo "make test-long   whole runs, of which make test tests the parts"
	@echo "make test-hostile heads with a wrong affine, random files from Hypothesis, full disks and other faults; an hour"
	@echo "make test-kills  kills the tiny set-up twenty times at random moments"
	@echo "make test-slurm  the workflow on a real one-node Slurm, started for the test"
	@echo "make test-report the demo's report in a real browser (Chromium of this machine, or Playwright's),"
	@echo "                 its exports with nnU-Net and the BIDS validator, and its archive"
	@echo "make prior       pretrained networks, trained on phantoms, in prior/; three hours"
	@echo "make prior-brats the same for four modalities and three tumour regions, in prior-brats/"
	@echo "make study       five and ten patients, five seeds: do synthetic patients help? half a day;"
	@echo "                 COHORT=brats DATA=<folder>, or COHORT=lgg DATA=<table>, on real patients"
	@echo "make study-cell  repeats one cell of the study and compares its scores with the committed ones: COHORT, DATA,"
	@echo "                 CELL=n5-s0 and ARMS"
	@echo "make study-development  arms and settings on patients that the study does not test: COHORT, DATA, ARMS,"
	@echo "                 SETTINGS=<file>"
	@echo "make verdicts    how often verdicts are wrong, by simulated studies, for docs/numbers.md; a minute"
	@echo "make kept        segmentation weights of the best validation check, or the last? half an hour"
	@echo "make bench       time and memory, compared with the paper's and MONAI's networks; half an hour"
	@echo "make curves      quality against training time and sampling steps; hours"
	@echo "make sampler     chooses guidance, stochasticity and steps of the sampler on held-out phantoms; half an hour"
	@echo "make archive     the finished demo in one file"
	@echo "make docs        the documentation as a site, with checked links"
	@echo "make lint        style: ruff, snakefmt, snakemake --lint"

$(READY): requirements.lock $(LOGGER)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11) and "Python 3.11 or later is needed; name it: make PYTHON=/path/to/python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	# Modules are compiled at their first import, not at installation.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile \
		--requirement requirements.lock
	$(BIN)/python -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "stages.pth").write_text("$(CURDIR)/terminal\n")'
	touch $@

demo: $(READY)
	$(SNAKEMAKE)

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --no-loadscope-reorder

test-kills: $(READY)
	$(BIN)/python -m pytest -m kills tests/kills

test-long: $(READY)
	$(BIN)/python -m pytest -m long

test-hostile: $(READY)
	$(BIN)/python -m pytest -m hostile tests/hostile

test-slurm: $(READY)
	tests/slurm/one_node.sh start
	$(BIN)/python -m pytest -m slurm tests/slurm; status=$$?; tests/slurm/one_node.sh stop; exit $$status

$(OUTSIDE)/.ready: tests/outside/requirements.txt
	$(PYTHON) -m venv $(OUTSIDE)
	$(OUTSIDE)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(NNUNET)/.ready: tests/outside_nnunet/requirements.txt $(READY)
	$(PYTHON) -m venv $(NNUNET)
	$(BIN)/python -c "import site; print(*site.getsitepackages())" \
		> $$($(NNUNET)/bin/python -c "import site; print(*site.getsitepackages())")/workflow.pth
	$(NNUNET)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	touch $@

test-report: demo $(OUTSIDE)/.ready $(NNUNET)/.ready
	$(SNAKEMAKE) -- $(EXPORT) $(ARCHIVE)
	REPORT=$(RESULTS)/report EXPORT=$(EXPORT) ARCHIVE=$(ARCHIVE) PYTHON=$(BIN)/python $(OUTSIDE)/bin/python -m pytest \
		--override-ini addopts= --confcutdir tests/outside tests/outside
	EXPORT=$(EXPORT) PYTHON=$(BIN)/python $(NNUNET)/bin/python -m pytest \
		--override-ini addopts= --confcutdir tests/outside_nnunet tests/outside_nnunet

# The configuration, the results and the folder are named after the target.
prior prior-brats: $(READY)
	$(SNAKEMAKE) --configfile config/$(subst -,_,$@).yaml \
		--set-threads $(PRIOR_RULES:%=%=$(shell nproc))
	mkdir -p $@
	cp -r results-$@/prior/. $@/

CHOSEN = $(COHORT) $(if $(DATA),"$(DATA)") $(if $(CELL),--cell "$(CELL)") $(if $(ARMS),--arms "$(ARMS)")

study: $(READY)
	$(BIN)/python -m workflow_scripts.study.run $(CHOSEN)
	$(BIN)/python -m workflow_scripts.study.write_study

study-development: $(READY)
	$(BIN)/python -m workflow_scripts.study.develop $(COHORT) $(if $(DATA),"$(DATA)") \
		$(if $(SETTINGS),--settings "$(SETTINGS)") $(if $(ARMS),--arms "$(ARMS)")
	$(BIN)/python -m workflow_scripts.study.write_study

study-cell: $(READY)
	$(BIN)/python -m workflow_scripts.study.repeat_cell $(CHOSEN)

verdicts: $(READY)
	$(BIN)/python -m workflow_scripts.evaluation.simulate_verdicts --write docs/numbers.md

# Both runs share the folder, so phantoms are preprocessed once; only the training differs.
kept: $(READY)
	$(SNAKEMAKE) --configfile config/kept.yaml --config results=results-kept 'segmentation={keep: best}' \
		-- results-kept/evaluation/scores.csv
	cp results-kept/evaluation/scores.csv results-kept/best.csv
	$(SNAKEMAKE) --configfile config/kept.yaml --config results=results-kept 'segmentation={keep: last}' \
		-- results-kept/evaluation/scores.csv
	$(BIN)/python -m workflow_scripts.bench.compare_kept results-kept/best.csv \
		results-kept/evaluation/scores.csv --out results-kept/kept.md

bench: $(READY)
	$(SNAKEMAKE) -- $(RESULTS)/bench/bench.csv
	@cat $(RESULTS)/bench/bench.md

curves: $(READY)
	$(SNAKEMAKE) --configfile config/curves.yaml -- results-curves/bench/curves.csv

sampler: $(READY)
	$(SNAKEMAKE) --configfile config/sampler.yaml --config 'bench={sampler: {model: $(MODEL)}}' \
		-- results-sampler/bench/sampler/sampler.md
	@cat results-sampler/bench/sampler/sampler.md

$(DOCS)/.ready: docs/site/requirements.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

docs: $(DOCS)/.ready
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(DOCS)/bin/mkdocs build --quiet
	@echo "the documentation is in site/index.html"

archive: $(READY)
	$(SNAKEMAKE) -- $(ARCHIVE)
	@echo "the run is in $(ARCHIVE)"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

schema: $(READY)
	$(BIN)/python -m workflow_scripts.configuration

lock:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --requirement requirements.in
	{ echo "# Written by 'make lock' from requirements.in."; $(BIN)/python -m pip freeze | sed 's/+cpu$$//'; } > requirements.lock
