"""A description of a model folder in a few lines."""

from math import prod
from pathlib import Path

from safetensors import SafetensorError, safe_open

from workflow_scripts.autoencoder.settings import AutoencoderConfig
from workflow_scripts.common.files import UserError, read_json, read_table
from workflow_scripts.common.prior import PRIORS
from workflow_scripts.common.provenance import checksum
from workflow_scripts.common.settings import check_values
from workflow_scripts.synthesis.folder import STAGES, check_model_folder
from workflow_scripts.synthesis.origin import origin_of
from workflow_scripts.synthesis.settings import read_sampling

# Attributes of the training patients' tumours.
COLUMNS = ("copy", "volume_ml", "centroid_x_mm", "centroid_y_mm", "centroid_z_mm")


def count_weights(file: str | Path) -> int:
    """The number of weights in a file, from its header. Raises ``UserError`` for any other file."""
    try:
        with safe_open(str(file), framework="np") as weights:
            return sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{file}: is damaged, or only a pointer to the file ({error})") from None


def describe_model(folder: str | Path) -> dict[str, str]:
    """Facts about a model folder by name: modalities, labels, grid (mm), training tumours (mL, mm
    in MNI152), weights and sampling.

    Raises ``UserError`` naming missing files.
    """
    check_model_folder(folder)
    folder = Path(folder)
    path = folder / "autoencoder" / "config.json"
    config = read_json(path)
    check_values(config, AutoencoderConfig, path)
    sampling = read_sampling(folder)
    attributes = read_table(folder / "attributes.tsv")
    if absent := [name for name in COLUMNS if name not in attributes]:
        raise UserError(
            f"{folder / 'attributes.tsv'}: has no column {', '.join(absent)}; copy the whole "
            "folder again"
        )
    patients = attributes[attributes["copy"] == 0]
    copies, volumes = len(attributes) - len(patients), patients["volume_ml"]
    low, middle, high = volumes.min(), volumes.median(), volumes.max()
    origin = origin_of(folder)
    kind = "phantoms" if origin["phantoms"] else "patients"
    shape, spacing = config["grid"]["shape"], config["grid"]["spacing_mm"]
    lines = {
        "modalities": ", ".join(config["modalities"]),
        "labels": config["labels"].replace("_", " "),
        "grid": f"{_times(shape)} voxels of {_times(spacing)} mm (MNI152)",
        # A prior has no table of its copies.
        "learned from": f"{len(patients)} {kind}" + (f" and {copies} copies" if copies else ""),
        **({"started from": start} if (start := started_from(origin["priors"])) else {}),
        "tumours": f"{low:.1f} to {high:.1f} mL, median {middle:.1f}",
    }
    for axis in "xyz":
        centroid_mm = patients[f"centroid_{axis}_mm"]
        lines[f"centroids, {axis}"] = f"{centroid_mm.min():.0f} to {centroid_mm.max():.0f} mm"
    for stage in STAGES:
        file = folder / stage / "weights.safetensors"
        lines[stage] = f"{count_weights(file):,} numbers, sha256 {checksum(file)[:16]}"
    lines["sampling"] = (
        f"{sampling.sampling_steps} steps, guidance {sampling.guidance}, "
        f"stochasticity {sampling.stochasticity}, up to {sampling.attempts} draws"
    )
    return lines


def started_from(priors: dict[str, str]) -> str:
    """The initial weights of the networks, in words; empty if unknown."""
    words = {"none": "random weights"} | {
        name: f"the prior {name} (trained on phantoms)" for name in PRIORS
    }
    named = {stage: words.get(prior, f"the model {prior}") for stage, prior in priors.items()}
    if len(set(named.values())) == 1:
        return next(iter(named.values()))
    return ", ".join(f"{stage}: {text}" for stage, text in named.items())


def _times(numbers: list[float]) -> str:
    return " × ".join(f"{number:g}" for number in numbers)
