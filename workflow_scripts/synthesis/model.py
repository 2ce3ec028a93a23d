"""A trained model that synthesises patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.autoencoder.settings import AutoencoderConfig, AutoencoderSettings
from workflow_scripts.common.files import UserError
from workflow_scripts.common.geometry import same_grid
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.nifti import load_volume
from workflow_scripts.common.provenance import checksum
from workflow_scripts.common.weights import load_config, settings_of
from workflow_scripts.diffusion.generator import Generator
from workflow_scripts.diffusion.settings import DiffusionConfig
from workflow_scripts.phantoms.settings import PhantomSettings
from workflow_scripts.preprocess.contrasts import draw_contrasts, paint_regions
from workflow_scripts.preprocess.settings import PreprocessSettings
from workflow_scripts.preprocess.tissue import TISSUES
from workflow_scripts.synthesis.anatomies import Anatomies, NoAnatomies, RequestedAnatomies
from workflow_scripts.synthesis.folder import STAGES, check_model_folder
from workflow_scripts.synthesis.implants import Background, backgrounds, is_implanted, room_for
from workflow_scripts.synthesis.request_table import is_training
from workflow_scripts.synthesis.settings import ImplantSettings
from workflow_scripts.synthesis.training_copies import TrainingCopies

# Names of a rule's inputs.
PARTS = (*STAGES, "brain")


@dataclass(frozen=True)
class SynthesisModel:
    """Codec and generator of one split, the anatomies of its patients, the brain mask (X, Y, Z)
    against which requests are checked, and the checksums of the weights.

    ``implant`` has the settings for implanting tumours into ``copies`` of the training patients;
    ``contrast_jitter`` is the standard deviation of the log of a tumour's contrast. These are set
    in a workflow only.
    """

    codec: Codec
    generator: Generator
    anatomies: Anatomies
    brain: NDArray[np.bool_]
    weights_sha256: dict[str, str]
    copies: TrainingCopies | None = None
    implant: ImplantSettings | None = None
    contrast_jitter: float = 0.0

    def contrasts(self, random: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """Contrasts (N, 3, terms, M) and intensities of tumour regions (N, 3, M) of training
        samples, one for each of the ``random`` generators; empty, (0, 3, terms, 0) and (0, 3, 0),
        for a denoiser without an anatomy."""
        space = self.generator.bundle.space
        contrasts, intensities = space.contrasts.cpu(), space.intensities.cpu()
        if not len(contrasts):
            return contrasts, intensities
        rows = [torch.randint(len(contrasts), (1,), generator=numbers).item() for numbers in random]
        return contrasts[rows], intensities[rows]

    def vary_tumours(
        self, contrasts: Tensor, intensities: Tensor, random: Sequence[torch.Generator]
    ) -> Tensor:
        """Intensities of tumour regions (N, 3, M) with jittered contrasts with the brain.

        In each modality, the difference of all regions from the mean of grey and white matter at
        the origin (the constant terms of ``contrasts``, (N, 3, terms, M)) is multiplied by one
        log-normal factor. Nothing is drawn without jitter, or for a denoiser without an anatomy.
        """
        if not self.contrast_jitter or not len(intensities):
            return intensities
        brain = contrasts[:, [TISSUES.index("grey"), TISSUES.index("white")], 0].mean(1)[:, None]
        normal = [torch.randn(brain.shape[-1], generator=numbers) for numbers in random]
        factors = torch.exp(self.contrast_jitter * torch.stack(normal))[:, None]
        return brain + factors * (intensities - brain)

    def rendered(
        self,
        tissue: NDArray[np.uint8],
        labels: NDArray[np.uint8],
        contrasts: Tensor,
        intensities: Tensor,
    ) -> Tensor:
        """Scaled latents (N, C, h, w, Z) of patients with tissue maps (N, 3, X, Y, Z), 0 to 255,
        canonical labels (N, X, Y, Z), contrasts (N, 3, terms, M) and intensities of tumour regions
        (N, 3, M); (N, 0) for a denoiser without an anatomy."""
        if not tissue.shape[1]:
            return torch.zeros(len(tissue), 0)
        parts = zip(contrasts.numpy(), tissue, labels, intensities.numpy(), strict=True)
        latents = []
        for contrast, maps, label, means in parts:
            brain = draw_contrasts(contrast, maps / np.float32(255), self.codec.grid)
            latents.append(self.codec.encode(paint_regions(brain, label, means), label))
        return torch.from_numpy(np.stack(latents))

    def room(self, requests: pd.DataFrame, tissue: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Masks (N, X, Y, Z) of the allowed positions of requested tumours, in brains with tissue
        maps (N, 3, X, Y, Z)."""
        if is_implanted(requests):
            return room_for(requests, self.copies, self.codec.grid, self.implant)
        return tissue.any(1)

    def background(self, requests: pd.DataFrame, layouts: NDArray[np.uint8]) -> Background | None:
        """The backgrounds around tumours of these layouts (N, X, Y, Z) for implanted patients;
        ``None`` for patients that are generated as a whole."""
        if not is_implanted(requests):
            return None
        return backgrounds(requests, layouts, self.copies, self.codec.grid, self.implant)

    def brain_for(self, request: pd.Series) -> NDArray[np.bool_]:
        """The brain mask (X, Y, Z) for a completed request. Raises ``UserError`` for an unusable
        anatomy."""
        if self.copies and is_training(request["anatomy"]):
            return self.copies.brain(request["anatomy"])
        brain = self.anatomies.brain_of(request["anatomy"])
        return self.brain if brain is None else brain

    @classmethod
    def of(
        cls,
        autoencoder: str | Path,
        diffusion: str | Path,
        brain: str | Path,
        processes: int = 1,
        copies: TrainingCopies | None = None,
        implant: ImplantSettings | None = None,
    ) -> "SynthesisModel":
        """Load the model folders of these weights, and a brain mask.

        Anatomies are generated by several ``processes``.
        """
        weights = {"autoencoder": Path(autoencoder), "diffusion": Path(diffusion)}
        mask, affine = load_volume(brain)
        check_parts(weights, mask, affine, Path(brain))
        codec = Codec.load(weights["autoencoder"].parent)
        generator = Generator.load(weights["diffusion"].parent)
        return cls(
            codec,
            generator,
            load_anatomies(weights["diffusion"].parent, codec, generator, processes, copies),
            mask > 0,
            {stage: checksum(path) for stage, path in weights.items()},
            copies,
            implant,
        )

    @classmethod
    def load(cls, folder: str | Path, processes: int = 1) -> "SynthesisModel":
        """Load an exported model folder; raises ``UserError`` naming the files that it lacks."""
        check_model_folder(folder)
        weights = [Path(folder, stage, "weights.safetensors") for stage in STAGES]
        return cls.of(*weights, Path(folder, "brain.nii.gz"), processes)


def check_parts(weights: dict[str, Path], brain: NDArray, affine: NDArray, where: Path) -> None:
    """Raise ``UserError`` if autoencoder, denoiser (files of weights) and the brain mask of a file
    do not belong to one model."""
    autoencoder = load_config(weights["autoencoder"].parent, AutoencoderConfig)
    denoiser = load_config(weights["diffusion"].parent, DiffusionConfig)
    settings = settings_of(autoencoder, AutoencoderSettings, weights["autoencoder"].parent)
    grid = Grid.from_settings(autoencoder["grid"])
    in_plane = [n // settings.down for n in grid.shape[:2]]
    expected = {
        "grid": autoencoder["grid"],
        "modalities": autoencoder["modalities"],
        "latent_shape": [settings.latent_channels, *in_plane, grid.shape[2]],
    }
    for name, value in expected.items():
        if denoiser.get(name) != value:
            raise UserError(
                f"{weights['diffusion'].parent}: {name} is {denoiser.get(name)} here and {value} "
                "in the autoencoder: these files belong to different models; copy the whole "
                "folder again"
            )
    if not same_grid(brain.shape, affine, grid.shape, grid.affine):
        raise UserError(
            f"{where}: is not on the model's grid, {grid.shape} voxels of {grid.spacing_mm} mm; "
            "copy the whole folder again"
        )


def load_anatomies(
    folder: Path,
    codec: Codec,
    generator: Generator,
    processes: int,
    copies: TrainingCopies | None,
) -> Anatomies:
    """The anatomies for a diffusion model folder, with phantoms as in its training; ``NoAnatomies``
    for a denoiser without an anatomy."""
    if generator.settings.anatomy == "none":
        return NoAnatomies()
    config = load_config(folder)
    phantom = settings_of(config, PhantomSettings, folder, "phantom")
    preprocess = settings_of(config, PreprocessSettings, folder, "preprocess")
    quantiles = config.get("tissue_quantiles")
    return RequestedAnatomies(
        codec.modalities,
        codec.grid,
        phantom,
        preprocess,
        processes,
        copies,
        quantiles=None if quantiles is None else np.array(quantiles),
    )
