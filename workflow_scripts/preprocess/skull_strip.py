"""Brain masks: found by a network, by a command, given, or seen from a stripped volume."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workflow_scripts.common.files import UserError
from workflow_scripts.common.nifti import load_nifti, save_nifti

# Brains have some 1.0 to 1.7 litres, heads above 2.5.
BRAIN_LITRES = (0.5, 2.1)
COMMANDS = {
    "hd-bet": ["hd-bet", "-i", "{image}", "-o", "{brain}", "--save_bet_mask"],
    "synthstrip": ["mri_synthstrip", "-i", "{image}", "-m", "{mask}"],
}


def stripped_mask(volume: NDArray, affine: NDArray) -> NDArray[np.bool_] | None:
    """The brain mask of a volume (X, Y, Z) that was skull-stripped before; ``None`` for a head.

    A stripped volume has one constant background, 0 or any other value, and what is left of it
    has the size of a brain.
    """
    corner = np.median([volume[i, j, k] for i in (0, -1) for j in (0, -1) for k in (0, -1)])
    foreground = np.abs(volume - corner) > 1e-6 * max(1.0, float(np.abs(volume).max()))
    if foreground.mean() > 0.5:
        return None
    mask = largest_filled(foreground)
    litres = mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1e6
    return mask if BRAIN_LITRES[0] < litres < BRAIN_LITRES[1] else None


def largest_filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected piece of a mask, its holes filled."""
    pieces, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(pieces == sizes.argmax())


def deepbet_mask(volume: NDArray, affine: NDArray) -> NDArray[np.bool_]:
    """Brain mask (X, Y, Z) by deepbet (Fisch et al. 2024); its weights come with the package."""
    from deepbet.bet import BrainExtraction

    image = nib.Nifti1Image(volume.astype(np.float32), affine)
    _, mask, _ = BrainExtraction(no_gpu=True).run(image)
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
        }
        save_nifti(volume.astype(np.float32), affine, places["image"])
        command = [word.format(**places) for word in words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not Path(places["mask"]).is_file():
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise UserError(f"{' '.join(command)} failed: {' '.join(last)}")
        mask, _, _ = load_nifti(places["mask"])
    return mask > 0
