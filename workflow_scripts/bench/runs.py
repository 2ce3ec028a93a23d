"""The runs behind the curves: a system and a length of training, or a number of sampling steps."""

from pathlib import Path
from typing import Any

from workflow_scripts.bench.compared import DEFAULTS
from workflow_scripts.bench.settings import BenchSettings
from workflow_scripts.common.files import UserError
from workflow_scripts.common.prior import PRIORS, prior_file
from workflow_scripts.configuration import Config, check, read_config
from workflow_scripts.synthesis.settings import SamplingSettings

# The system whose runs differ by their sampling steps.
SAMPLED = "sampling"
# Whose code decides what a run makes.
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
    """Each run by its name: its ``system``, the ``setup`` it takes networks from, and the steps of
    each stage that it changes."""
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
    """Values of this configuration as all runs have them: one more point of a curve makes no other
    run stale."""
    values = config.model_dump(mode="json")
    values["bench"] |= {"curves": {}, "sampling_steps": []}
    values["bench"]["sampler"] |= {"guidance": [], "stochasticity": [], "sampling_steps": []}
    values["bench"]["sampler"]["model"] = "embedded"
    # These runs compare no arms.
    values["evaluation"] |= {"opponent": "validation", "other_runs": []}
    return values


def run_values(root: str | Path, config: Config, run: dict[str, Any]) -> dict[str, Any]:
    """Values of the workflow for a run: patients and volumes are this configuration's, networks,
    training and sampling those of the run's set-up.

    Every request is drawn once, and there are as many as test patients. Raises ``UserError`` where
    the set-up cannot be read, or its networks cannot take the volumes.
    """
    root = Path(root)
    values = shared_values(config)
    theirs = read_config(root / DEFAULTS, root / run["setup"]).model_dump(mode="json")
    values |= {stage: theirs[stage] for stage in TRAINED}
    sampling = theirs["synthesis"]
    values["synthesis"] |= {name: sampling[name] for name in SamplingSettings.model_fields}
    values["synthesis"] |= {"patients": config.cohort.splits.test, "attempts": 1}
    # Each run samples its own model, asked for the same tumours.
    values["synthesis"] |= {"model": None, "requests": None}
    for stage, steps in run["steps"].items():
        values[stage]["sampling_steps" if stage == "synthesis" else "steps"] = steps
    # Phantoms of a prior, which some have none of, are no part of these runs.
    values["segmentation"]["arms"] = ["real"]
    values["results"] = "results"
    _name_paths_from_anywhere(values)
    try:
        return check(values).model_dump(mode="json")
    except UserError as error:
        raise UserError(f"bench.curves: {run['setup']} on these volumes: {error}") from None


def priors(values: dict[str, Any]) -> list[Path]:
    """Weights that the trainings of a run start from."""
    files = (prior_file(values[s]["prior"], f"{s}/weights.safetensors") for s in TRAINED)
    return [file for file in files if file]


def _name_paths_from_anywhere(values: dict[str, Any]) -> None:
    """A run has a working directory of its own."""
    sections = [(values["cohort"], name) for name in ("root", "table")]
    sections += [(values[stage], "prior") for stage in TRAINED]
    for section, name in sections:
        if section[name] not in (None, "none", *PRIORS):
            section[name] = str(Path(section[name]).resolve())
