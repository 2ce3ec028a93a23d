"""Brain masks: from a network, an external command, a file, or a skull-stripped volume."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.files import UserError
from workflow_scripts.common.masks import largest_filled
from workflow_scripts.common.nifti import load_volume, save_nifti

# Brains have some 1.0 to 1.7 litres, heads more than 2.5.
BRAIN_LITRES = (0.5, 2.1)
COMMANDS = {
    # HD-BET 2 uses a GPU by default, and names the mask after the brain.
    "hd-bet": ["hd-bet", "-i", "{image}", "-o", "{brain}", "-device", "{device}"]
    + ["--save_bet_mask", "--no_bet_image"],
    "synthstrip": ["mri_synthstrip", "-i", "{image}", "-m", "{mask}"],
}


def stripped_mask(volume: NDArray, affine: NDArray) -> NDArray[np.bool_] | None:
    """The brain mask of a skull-stripped volume (X, Y, Z); ``None`` for a whole head.

    A stripped volume has a constant background, 0 or any other value, and a foreground of the size
    of a brain. A few thick slices of a head before zeroed air have these too, but are cut off by
    the first or last slice where they are wide.
    """
    corner = np.median([volume[i, j, k] for i in (0, -1) for j in (0, -1) for k in (0, -1)])
    foreground = np.abs(volume - corner) > 1e-6 * max(1.0, float(np.abs(volume).max()))
    if foreground.mean() > 0.7:
        return None
    mask = largest_filled(foreground)
    profile = mask.sum(axis=(0, 1))
    cut = max(profile[0], profile[-1]) > 0.5 * profile.max()
    low, high = BRAIN_LITRES
    return mask if low < mask_litres(mask, affine) < high and not cut else None


def mask_litres(mask: NDArray[np.bool_], affine: NDArray) -> float:
    """Volume of a mask (X, Y, Z) in litres."""
    return float(mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1e6)


def check_brain(mask: NDArray[np.bool_], affine: NDArray, way: str) -> None:
    """Raise ``UserError`` if the volume of a mask is implausible for a brain."""
    litres = mask_litres(mask, affine)
    if not 0.25 < litres < 2.5:
        raise UserError(
            f"skull-stripping by {way} gave a brain of {litres:.2f} L, but 0.8 to 2 L are "
            f"expected; check the image, or choose another preprocess.skull_strip (given uses "
            f"your mask)"
        )


def deepbet_mask(volume: NDArray, affine: NDArray) -> NDArray[np.bool_]:
    """Brain mask (X, Y, Z) by deepbet (Fisch et al. 2024); its weights come with the package."""
    # torch takes seconds to import, and is not needed for stripped volumes.
    import torch
    from deepbet.bet import BrainExtraction

    image = nib.Nifti1Image(volume.astype(np.float32), affine)
    threads = torch.get_num_threads()
    # One thread: jobs have one core, and the order of sums depends on the number of threads.
    torch.set_num_threads(1)
    try:
        _, mask, _ = BrainExtraction(no_gpu=True).run(image)
    except AssertionError as error:
        raise UserError(
            "deepbet found no brain; check the image, or choose another preprocess.skull_strip"
        ) from error
    finally:
        torch.set_num_threads(threads)
    return np.asarray(mask.dataobj) > 0


def command_mask(tool: str, volume: NDArray, affine: NDArray) -> NDArray[np.bool_]:
    """Brain mask (X, Y, Z) by a command that the user installed, ``hd-bet`` or ``synthstrip``."""
    words = COMMANDS[tool]
    if shutil.which(words[0]) is None:
        raise UserError(
            f"preprocess.skull_strip: {tool} needs the command '{words[0]}', which is not "
            "installed; install it, or choose deepbet"
        )
    with tempfile.TemporaryDirectory() as folder:
        places = {
            "image": str(Path(folder, "image.nii.gz")),
            "brain": str(Path(folder, "brain.nii.gz")),
            "mask": str(Path(folder, "brain_bet.nii.gz")),
            "device": "cuda" if shutil.which("nvidia-smi") else "cpu",
        }
        save_nifti(volume.astype(np.float32), affine, places["image"])
        command = [word.format(**places) for word in words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not Path(places["mask"]).is_file():
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise UserError(f"{' '.join(command)} failed: {' '.join(last) or 'it wrote no mask'}")
        mask, _ = load_volume(places["mask"])
    return mask > 0
