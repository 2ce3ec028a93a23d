"""Rule ``export_bundle``: a segmentation network as a MONAI bundle.

https://docs.monai.io/en/stable/mb_specification.html
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from workflow_scripts.common.files import read_json, staged_directory, write_json, write_text
from workflow_scripts.common.labels import regions
from workflow_scripts.common.provenance import package_versions
from workflow_scripts.segmentation.model import SegmentationNetwork

VERSION = "0.1.0"
README = """# {name}

A 3-D U-Net that segments {regions} in {modalities} of {shape} voxels of {spacing} mm in MNI152
space, skull-stripped and normalised by SBLDM's preprocessing ({arm}). Research software, no
medical device. With SBLDM installed (`pip install .` in its folder):

    python -c "from monai.bundle import run
    run(config_file='configs/inference.json', image={files}, output='label.nii.gz')"
"""


def metadata(config: dict[str, Any]) -> dict[str, Any]:
    """``configs/metadata.json``: inputs, outputs and origin of the network."""
    modalities, named = config["modalities"], list(regions(config["labels"]))
    packages = package_versions()
    shared = {
        "type": "image",
        "spatial_shape": config["grid"]["shape"],
        "dtype": "float32",
        "is_patch_data": config["settings"]["patch"] is not None,
    }
    image = {
        "format": "magnitude",
        "modality": "MR",
        "num_channels": len(modalities),
        "value_range": [],
        "channel_def": {str(i): name for i, name in enumerate(modalities)},
    }
    logits = {
        "format": "segmentation",
        "num_channels": len(named),
        "value_range": [],
        "channel_def": {str(i): name for i, name in enumerate(named)},
    }
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
        "meta_schema_20240725.json",
        "version": VERSION,
        "changelog": {VERSION: "exported"},
        "monai_version": packages["monai"],
        "pytorch_version": packages["torch"].partition("+")[0],
        "numpy_version": packages["numpy"],
        "required_packages_version": {"nibabel": packages["nibabel"]},
        "task": "brain-tumour segmentation",
        "description": f"SBLDM's segmentation network, arm {config['arm']}",
        "authors": "the SBLDM authors",
        "copyright": "the SBLDM authors",
        "network_data_format": {
            "inputs": {"image": shared | image},
            "outputs": {"pred": shared | logits},
        },
    }


def inference(config: dict[str, Any]) -> dict[str, Any]:
    """``configs/inference.json``: from a patient's images to a label map."""
    settings, ours = config["settings"], "workflow_scripts.export.bundle_parts"
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "image": [f"{name}.nii.gz" for name in config["modalities"]],
        "output": "label.nii.gz",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": f"{SegmentationNetwork.__module__}.SegmentationNetwork",
            "modalities": len(config["modalities"]),
            "regions": len(regions(config["labels"])),
            "stem": settings["stem"],
            "widths": settings["widths"],
        },
        "network": "$@network_def.to(@device).eval()",
        "weights": "$torch.load(@bundle_root + '/models/model.pt', weights_only=True)",
        "preprocessing": {
            "_target_": "Compose",
            "map_items": False,  # the files of one patient are one image
            "transforms": [
                {"_target_": "LoadImage", "image_only": True, "ensure_channel_first": True},
                {"_target_": f"{ours}.Standardise"},
            ],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": settings["patch"] or config["grid"]["shape"],
            "overlap": settings["overlap"],
            "mode": "gaussian",
        },
        "postprocessing": {"_target_": f"{ours}.ToClasses", "labels": config["labels"]},
        "save": {"_target_": "SaveImage", "output_dtype": "$torch.uint8", "print_log": False},
        "run": [
            "$@network.load_state_dict(@weights)",
            "$torch.no_grad()(lambda: @save(@postprocessing(@inferer("
            "@preprocessing(@image)[None].to(@device), @network)[0]), "
            "filename=@output.removesuffix('.nii.gz')))()",
        ],
    }


def write_bundle(folder: Path, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
    """Write the bundle of a network with its configuration and weights."""
    for name, content in (("metadata", metadata(config)), ("inference", inference(config))):
        write_json(content, folder / "configs" / f"{name}.json")
    (folder / "models").mkdir()
    torch.save(weights, folder / "models" / "model.pt")
    shape, spacing = (
        " × ".join(f"{v:g}" for v in config["grid"][k]) for k in ("shape", "spacing_mm")
    )
    text = README.format(
        name=folder.name,
        regions=", ".join(regions(config["labels"])),
        modalities=", ".join(config["modalities"]),
        files=[f"{name}.nii.gz" for name in config["modalities"]],
        shape=shape,
        spacing=spacing,
        arm=config["arm"],
    )
    write_text(text, folder / "docs" / "README.md")


def main(snakemake) -> None:
    inputs = snakemake.input
    with staged_directory(snakemake.output.bundle) as folder:
        write_bundle(folder, read_json(inputs.config), load_file(inputs.weights))


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
