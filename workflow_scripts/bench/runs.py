"""The runs of the curves: a system with a training duration, or a number of sampling steps."""

from pathlib import Path
from typing import Any

from workflow_scripts.bench.compared import DEFAULTS
from workflow_scripts.bench.settings import BenchSettings
from workflow_scripts.common.files import UserError
from workflow_scripts.common.prior import PRIORS, prior_file
from workflow_scripts.configuration import Config, check, read_config
from workflow_scripts.synthesis.settings import SamplingSettings

# The system whose runs differ in their sampling steps.
SAMPLED = "sampling"
# Scripts whose code determines the results of a run.
SCRIPTS = (
    "bench/run_setup",
    "preprocess/preprocess_patient",
    "autoencoder/train_autoencoder",
    "autoencoder/reconstruct_patients",
    "autoencoder/encode_patients",
    "diffusion/train_diffusion",
    "synthesis/draw_requests",
    "synthesis/synthesise_patients",
)
TRAINED = ("autoencoder", "diffusion")


def runs(bench: BenchSettings) -> dict[str, dict[str, Any]]:
    """Each run by name: its ``system``, the ``setup`` with its networks, and the steps of each
    stage that it changes."""
    run_settings: dict[str, dict[str, Any]] = {}
    for system, curve in bench.curves.items():
        pairs = zip(curve.autoencoder_steps, curve.diffusion_steps, strict=True)
        for number, (autoencoder, diffusion) in enumerate(pairs, start=1):
            run_settings[f"{system}-{number}"] = {
                "system": system,
                "setup": curve.setup,
                "steps": {"autoencoder": autoencoder, "diffusion": diffusion},
            }
    for count in bench.sampling_steps:
        steps = {"synthesis": count}
        run_settings[f"{SAMPLED}-{count}"] = {"system": SAMPLED, "setup": DEFAULTS, "steps": steps}
    return run_settings


def shared_values(config: Config) -> dict[str, Any]:
    """The values of this configuration that all runs share, without the curves' points, so that a
    new point makes no other run stale."""
    values = config.model_dump(mode="json")
    values["bench"] |= {"curves": {}, "sampling_steps": []}
    values["bench"]["sampler"] |= {"guidance": [], "stochasticity": [], "sampling_steps": []}
    values["bench"]["sampler"]["model"] = "embedded"
    # These runs compare no arms.
    values["evaluation"] |= {"opponent": "validation", "other_runs": []}
    return values


def run_values(root: str | Path, config: Config, run: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a run: patients and volumes from this configuration; networks, training
    and sampling from the run's set-up.

    Every request is drawn once, and there are as many as test patients. Raises ``UserError`` if the
    set-up cannot be read, or its networks do not fit the volumes.
    """
    root = Path(root)
    values = shared_values(config)
    theirs = read_config(root / DEFAULTS, root / run["setup"]).model_dump(mode="json")
    values |= {stage: theirs[stage] for stage in TRAINED}
    sampling = theirs["synthesis"]
    values["synthesis"] |= {name: sampling[name] for name in SamplingSettings.model_fields}
    values["synthesis"] |= {"patients": config.cohort.splits.test, "attempts": 1}
    # Each run samples its own model, with the same requests.
    values["synthesis"] |= {"model": None, "requests": None}
    for stage, steps in run["steps"].items():
        values[stage]["sampling_steps" if stage == "synthesis" else "steps"] = steps
    # These runs have no arm with a prior's phantoms, since some have no prior.
    values["segmentation"]["arms"] = ["real"]
    values["results"] = "results"
    _name_paths_from_anywhere(values)
    try:
        return check(values).model_dump(mode="json")
    except UserError as error:
        raise UserError(f"bench.curves: {run['setup']} on these volumes: {error}") from None


def priors(values: dict[str, Any]) -> list[Path]:
    """Initial weights of the trainings of a run."""
    files = (prior_file(values[s]["prior"], f"{s}/weights.safetensors") for s in TRAINED)
    return [file for file in files if file]


def _name_paths_from_anywhere(values: dict[str, Any]) -> None:
    """Make paths absolute, since a run has its own working directory."""
    sections = [(values["cohort"], name) for name in ("root", "table")]
    sections += [(values[stage], "prior") for stage in TRAINED]
    for section, name in sections:
        if section[name] not in (None, "none", *PRIORS):
            section[name] = str(Path(section[name]).resolve())
