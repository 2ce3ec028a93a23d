"""From a cohort to the evaluation: slice-based latent diffusion for brain-tumour MRI."""

import json
import os
import sys
import time
from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.utils import min_version, update_config

min_version("9.0")


report: "report/workflow.rst"


STARTED = time.time()
ROOT = Path(workflow.current_basedir)
sys.path.insert(0, str(ROOT))
# The scripts of all rules import from the project, in whichever environment they run.
os.environ.update(PYTHONPATH=os.pathsep.join([str(ROOT), os.getenv("PYTHONPATH", "")]))
# Waiting threads of torch yield their core early. If other processes run, they would otherwise
# block the thread for which they wait.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# FutureWarnings of libraries are not meant for users.
os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")

from workflow_scripts import expected, snakemake_internals
from workflow_scripts.common.cuda import cuda_problem
from workflow_scripts.common.files import UserError, read_table
from workflow_scripts.common.fingerprint import content, fingerprint
from workflow_scripts.common.job_folder import clear_stale_locks, remove_done
from workflow_scripts.common.processes import has_gpu
from workflow_scripts.common.script import words_of
from workflow_scripts.common.strict_yaml import read_yaml
from workflow_scripts.configuration import check
from workflow_scripts.evaluation.last_words import last_words

# Not with `configfile`, which is ignored if this is a module of another workflow.
values = load_configfile(ROOT / "config.yaml")
update_config(values, config)
try:
    for file in workflow.configfiles:
        # Snakemake silently takes the second of two equal keys. The files of a workflow that uses
        # this one as a module are not checked.
        if not snakemake_internals.is_module(workflow):
            read_yaml(file)
    CONFIG = check(values)
except (UserError, OSError) as error:
    # One line for the user in place of a traceback.
    sys.exit(f"Error: {words_of(error)}")

if workflow.is_main_process:
    RUNNING = clear_stale_locks(".snakemake")
    # One training at a time on this machine's GPU; clusters and CPUs have their own limits.
    local = snakemake_internals.runs_locally(workflow)
    problem, named = cuda_problem() if local else None, snakemake_internals.gpus_named(workflow)
    if local and named and problem:
        sys.exit(f"Error: --resources gpu: {problem}")
    if local and named is None and has_gpu():
        if problem:
            print(f"The GPU is not used: {problem}", file=sys.stderr)
        snakemake_internals.limit_gpus(workflow, 1)

if workflow.is_main_process:
    # For the remaining time in the logger of `--logger stages`.
    os.environ.update(SBLDM_EXPECTED=json.dumps(expected.job_seconds(CONFIG)))

RESULTS = CONFIG.results
LOGS, BENCHMARKS = f"{RESULTS}/logs", f"{RESULTS}/benchmarks"
SPLITS = CONFIG.cohort.splits.names
ARMS = CONFIG.segmentation.arms
GRID = CONFIG.grid.model_dump(mode="json")


wildcard_constraints:
    patient=r"[A-Za-z0-9._-]+",
    split=r"(n|fold)\d+-s\d+",
    arm=r"[a-z0-9_+]+",
    rival=r"gan3d|ldm3d",


# Phantoms on the grid only serve to train a prior.
ON_GRID = CONFIG.cohort.source == "phantom_on_grid"
if ON_GRID:
    WANTED = [f"{RESULTS}/prior/training.json"]
else:
    WANTED = [
        f"{RESULTS}/evaluation/summary.md",
        f"{RESULTS}/evaluation/figures",
        f"{RESULTS}/report",
        expand(f"{RESULTS}/synthesis/{{split}}/model/sampling.json", split=SPLITS),
    ]


rule all:
    default_target: True
    input:
        WANTED,
    localrule: True


onsuccess:
    remove_done(f"{RESULTS}/checkpoints")
    print(last_words(RESULTS, STARTED), end="", file=sys.stderr)


include: "rules/common.smk"
include: "rules/cohort.smk"


if ON_GRID:

    include: "rules/phantoms.smk"

else:

    include: "rules/preprocess.smk"


include: "rules/autoencoder.smk"
include: "rules/diffusion.smk"
include: "rules/synthesis.smk"
include: "rules/rivals.smk"
include: "rules/segmentation.smk"
include: "rules/evaluation.smk"
include: "rules/report.smk"
include: "rules/export.smk"
include: "rules/nnunet.smk"
include: "rules/archive.smk"
include: "rules/bench.smk"
include: "rules/curves.smk"
include: "rules/sampler.smk"


if ON_GRID:

    include: "rules/prior.smk"


include: "rules/sharing.smk"
