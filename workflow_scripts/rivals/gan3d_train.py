"""Training of the 3-D GAN."""

import torch
from monai.networks.nets import PatchDiscriminator
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from workflow_scripts.rivals.rival import RivalTraining
from workflow_scripts.rivals.settings import GAN3DSettings

# Betas of AdamW. With the usual first one, 0.9, the momentum lags behind the opponent.
BETAS = (0.0, 0.99)


class Discriminator(nn.Module):
    """MONAI's patch discriminator, with spectral normalisation (Miyato et al. 2018) in place of
    feature normalisation.

    It halves the volume ``halvings`` times, so that the receptive field covers most of a head.
    """

    def __init__(self, channels: int, width: int, halvings: int) -> None:
        super().__init__()
        self.patches = PatchDiscriminator(
            3, width, channels, num_layers_d=halvings, norm=None, bias=True
        )
        for module in self.patches.modules():
            if isinstance(module, nn.Conv3d):
                spectral_norm(module)

    def forward(self, volume: Tensor) -> Tensor:
        """A map (B, 1, x, y, z) of volumes (B, C, X, Y, Z), above 0 where they look real."""
        return self.patches(volume)[-1].float()


class Players(nn.Module):
    """Generator and discriminator, trained by one optimiser."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator


class GAN3DTraining(RivalTraining):
    """Hinge loss of discriminator and generator (Lim & Ye 2017; Miyato et al. 2018), both in each
    step; the generator's averaged weights are saved. The number of steps is fixed."""

    def __init__(self, generator: nn.Module, settings: GAN3DSettings, seed: int) -> None:
        halvings = len(settings.widths) - 2
        discriminator = Discriminator(generator.channels, settings.discriminator, halvings)
        super().__init__(Players(generator, discriminator), settings)
        self.noise, self.seed = settings.noise, seed

    def losses(self, batch: tuple[Tensor], step: int) -> dict[str, Tensor]:
        """The sum of both losses, and each of them."""
        (real,) = batch
        random = self.random(self.seed, step)
        noise = torch.randn(len(real), self.noise, generator=random, device=real.device)
        generated, judge = self.model.generator(noise), self.model.discriminator
        # Hinge loss: E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))] for D, -E[D(G(z))] for G.
        real_loss = functional.relu(1 - judge(real)).mean()
        made_loss = functional.relu(1 + judge(generated.detach())).mean()
        # The generator's loss must not reach the weights of the discriminator.
        judge.requires_grad_(False)
        generator_loss = -judge(generated).mean()
        judge.requires_grad_(True)
        discriminator_loss = real_loss + made_loss
        return {
            "loss": discriminator_loss + generator_loss,
            "discriminator": discriminator_loss,
            "generator": generator_loss,
        }

    def configure_optimizers(self) -> dict:
        """AdamW with betas for a GAN."""
        configuration = super().configure_optimizers()
        for group in configuration["optimizer"].param_groups:
            group["betas"] = BETAS
        return configuration

    def trained(self) -> nn.Module:
        """The averaged generator."""
        return self.average.module.generator.eval().cpu()
