"""Training of the 3-D latent diffusion model."""

from typing import Any

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

from workflow_scripts.common.device import autocast
from workflow_scripts.common.processes import local_rank
from workflow_scripts.common.randomness import generator
from workflow_scripts.rivals.ldm3d_networks import KL, noise_loss, reconstruct
from workflow_scripts.rivals.rival import RivalTraining
from workflow_scripts.rivals.settings import LDM3DSettings

# Number of noise levels at which each validation patient's latents are denoised in a check.
NOISE_LEVELS = 8


class LDM3DTraining(RivalTraining):
    """The autoencoder first, then the denoiser of its latents.

    The loss of the autoencoder is L1 and KL, as in MONAI's example, and 1 - Dice of the masks,
    since with L1 alone small tumours are ignored. The loss of the denoiser is the squared error of
    the noise. Each step encodes its volumes, as in the example.

    In validation checks the averaged weights are evaluated on the validation patients; for each
    network the weights with the lowest loss are selected. The denoiser is trained on the latents of
    the selected autoencoder.
    """

    def __init__(
        self, model: nn.Module, settings: LDM3DSettings, validation_volumes: list[Tensor], seed: int
    ) -> None:
        super().__init__(model, settings)
        self.validation_volumes, self.seed, self.first = (
            validation_volumes,
            seed,
            settings.autoencoder_steps,
        )
        self.dice = DiceLoss(batch=True)
        parts = ((0, self.first), (self.first, settings.steps))
        self.checks = {step for part in parts for step in _spread(*part, settings.validations)}
        self.scores: dict[int, float] = {}
        self.kept: dict[str, Tensor] = {}

    def losses(self, batch: tuple[Tensor], step: int) -> dict[str, Tensor]:
        """Loss of the network that the step trains."""
        (volumes,) = batch
        random = self.random(self.seed, step)
        if step < self.first:
            return {"loss": self.autoencoder_loss(self.model, volumes, random)}
        if step == self.first:
            self._start_denoiser(volumes)
        return {"loss": self.denoiser_loss(self.model, volumes, random)}

    def autoencoder_loss(
        self, model: nn.Module, volumes: Tensor, random: torch.Generator
    ) -> Tensor:
        """L1, KL and Dice of volumes (B, C, X, Y, Z)."""
        reconstruction, kl = reconstruct(model.autoencoder, volumes, random)
        count = model.masks
        overlap = self.dice(reconstruction[:, -count:].clamp(0, 1), volumes[:, -count:])
        return functional.l1_loss(reconstruction, volumes) + KL * kl + overlap

    def denoiser_loss(self, model: nn.Module, volumes: Tensor, random: torch.Generator) -> Tensor:
        """Squared error of the noise in the latents of volumes (B, C, X, Y, Z)."""
        with torch.no_grad():
            latent = model.encode(volumes)
        return noise_loss(model.denoiser, model.process, latent, random)

    @torch.no_grad()
    def _start_denoiser(self, volumes: Tensor) -> None:
        """Load the selected autoencoder, and compute the latents' scale from the first volumes, as
        in the example."""
        self.model.autoencoder.load_state_dict(self.kept)
        self.model.scale.fill_(1 / float(self.model.encode(volumes).std()))
        average = self.average.module
        average.autoencoder.load_state_dict(self.kept)
        average.scale.copy_(self.model.scale)

    def optimizer_step(self, epoch: int, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        """Make the step, then run a validation check if it is due."""
        super().optimizer_step(epoch, batch_idx, *args, **kwargs)
        if (step := batch_idx + 1) in self.checks and not local_rank():
            self._check(step)

    def _check(self, step: int) -> None:
        of_denoiser = step > self.first
        score = self.validation_loss(of_denoiser)
        known = [self.scores[s] for s in self.scores if (s > self.first) == of_denoiser]
        if not known or score <= min(known):
            model = self.average.module
            network = model.denoiser if of_denoiser else model.autoencoder
            self.kept = {k: v.detach().clone() for k, v in network.state_dict().items()}
        self.scores[step] = score

    @torch.no_grad()
    def validation_loss(self, of_denoiser: bool) -> float:
        """Mean loss of the validation patients with the averaged weights: the denoiser's, at
        ``NOISE_LEVELS`` random noise levels each, or the autoencoder's."""
        model = self.average.module.eval()
        loss = self.denoiser_loss if of_denoiser else self.autoencoder_loss
        tried = self.validation_volumes * (NOISE_LEVELS if of_denoiser else 1)
        with autocast(self.optimiser.precision, self.device):
            losses = [
                float(loss(model, volume[None].to(self.device), self._same_noise(number)))
                for number, volume in enumerate(tried)
            ]
        model.train()
        return sum(losses) / len(losses)

    def _same_noise(self, number: int) -> torch.Generator:
        """Noise that is the same in all checks, so that they are comparable."""
        return generator(self.seed, 0, number, 0, device=self.device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the finished checks and the selected weights."""
        checkpoint["validation"] = {"scores": self.scores, "kept": self.kept}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the checks of an interrupted run."""
        self.scores = checkpoint["validation"]["scores"]
        self.kept = checkpoint["validation"]["kept"]

    def trained(self) -> nn.Module:
        """The selected autoencoder and denoiser."""
        self.average.module.denoiser.load_state_dict(self.kept)
        return self.average.module.eval().cpu()

    def validation(self) -> dict[int, float]:
        """Mean loss of the validation patients by step: the autoencoder's, then the denoiser's."""
        return self.scores


def _spread(begin: int, end: int, count: int) -> list[int]:
    """Steps of ``count`` checks, evenly spaced from ``begin`` to ``end``, which is the last one."""
    return [max(begin + 1, round(begin + (end - begin) * k / count)) for k in range(1, count + 1)]
