"""Training of the slice autoencoder."""

import torch
from monai.losses import DiceLoss, SSIMLoss
from torch import Tensor
from torch.nn import functional

from workflow_scripts.autoencoder.model import SliceAutoencoder
from workflow_scripts.autoencoder.settings import AutoencoderSettings
from workflow_scripts.common.device import exact
from workflow_scripts.common.training import Training


class AutoencoderTraining(Training):
    """Evidence lower bound with an image loss, a label loss and a tiny KL term, with the weights of
    the settings.

    Cross-entropy and Dice suit rare labels. The KL term only bounds the latents (Rombach et al.
    2022, section 3.1).
    """

    def __init__(self, model: SliceAutoencoder, settings: AutoencoderSettings, seed: int) -> None:
        super().__init__(model, settings)
        self.weights, self.seed = settings.loss.model_dump(), seed
        self.dice = DiceLoss(include_background=False, batch=True)
        self.ssim = SSIMLoss(spatial_dims=2)

    def losses(self, batch: tuple[Tensor, Tensor, Tensor], step: int) -> dict[str, Tensor]:
        """Loss of a batch (image, label, position), and its terms."""
        image, label, position = batch
        mean, log_variance = self.model.encode(image, label, position)
        random = self.random(self.seed, step)
        noise = torch.randn(mean.shape, generator=random, device=mean.device).to(mean)
        latent = mean + torch.exp(log_variance / 2) * noise
        reconstruction, logits = self.model.decode(latent, position)
        loss_terms = self.terms(image, label, reconstruction.float(), logits.float())
        if self.weights["equivariance"]:
            loss_terms["equivariance"] = self.equivariance(image, label, latent, position)
        if self.weights["roughness"]:
            loss_terms["roughness"] = roughness(mean.float())
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).float().sum((1, 2, 3))
        terms = {**loss_terms, "kl": kl.mean()}
        return {"loss": sum(self.weights[name] * term for name, term in terms.items()), **terms}

    def exact_ssim(self, reconstruction: Tensor, image: Tensor) -> Tensor:
        """1 - SSIM in fp32: its variances are differences of squares, which bf16 cannot resolve."""
        with exact(image.device):
            return self.ssim(reconstruction, image)

    def equivariance(
        self, image: Tensor, label: Tensor, latent: Tensor, position: Tensor
    ) -> Tensor:
        """Loss of image and label at half size, decoded from latents at half size.

        Latents with scale equivariance are spatially smooth, and a denoiser predicts them better
        (Skorokhodov et al. 2025). Image terms have the same weights as at full size; labels
        averaged to half size are compared as probabilities.
        """
        reconstruction, logits = self.model.decode(functional.avg_pool2d(latent, 2), position)
        difference = reconstruction.float() - functional.avg_pool2d(image, 2)
        shares = functional.avg_pool2d(class_masks(label, logits), 2)
        return (
            self.weights["l1"] * difference.abs().mean()
            + self.weights["mse"] * difference.square().mean()
            + (logits.float().softmax(1) - shares)[:, 1:].abs().mean()
        )

    def terms(
        self, image: Tensor, label: Tensor, reconstruction: Tensor, logits: Tensor
    ) -> dict[str, Tensor]:
        """The terms with a weight above 0, for images (B, M, X, Y), labels (B, X, Y) and logits
        (B, classes, X, Y)."""
        difference, probability = reconstruction - image, logits.softmax(1)
        masks = class_masks(label, logits)
        compared = (reconstruction, image)
        if self.weights["label_l1"]:
            compared = (
                torch.cat([reconstruction, probability[:, 1:]], 1),
                torch.cat([image, masks[:, 1:]], 1),
            )
        terms = {
            "l1": lambda: difference.abs().mean(),
            "mse": lambda: difference.square().mean(),
            "ssim": lambda: self.exact_ssim(*compared),
            "label_ce": lambda: functional.cross_entropy(logits, label.long()),
            "label_dice": lambda: self.dice(probability, masks),
            "label_l1": lambda: (probability - masks)[:, 1:].abs().mean(),
        }
        return {name: term() for name, term in terms.items() if self.weights[name]}


def roughness(mean: Tensor) -> Tensor:
    """Squared difference of neighbouring latents (B, C, x, y) of a slice over twice their variance:
    1 for white noise, near 0 if neighbours predict each other."""
    along_x, along_y = mean.diff(dim=2).square().mean(), mean.diff(dim=3).square().mean()
    return (along_x + along_y) / (4 * mean.var((0, 2, 3)).mean())


def class_masks(label: Tensor, logits: Tensor) -> Tensor:
    """One-hot masks (B, classes, X, Y) of labels (B, X, Y), with the classes of ``logits``."""
    return functional.one_hot(label.long(), logits.shape[1]).movedim(-1, 1).float()
