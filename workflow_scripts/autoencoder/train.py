"""Training of the slice autoencoder."""

import torch
from monai.losses import DiceCELoss
from torch import Tensor

from workflow_scripts.autoencoder.model import SliceAutoencoder
from workflow_scripts.common.training import Training, generator


class AutoencoderTraining(Training):
    """Evidence lower bound with an image loss, a label loss and a tiny KL term.

    Image: ``L1 + 2 MSE``. Label: cross-entropy and Dice, since a tumour is rare. ``kl_weight``
    only keeps the latents from drifting apart (Rombach et al. 2022, section 3.1).
    """

    def __init__(
        self,
        model: SliceAutoencoder,
        steps: int,
        lr: float,
        ema_decay: float,
        kl_weight: float,
        label_weight: float,
        seed: int,
    ) -> None:
        super().__init__(model, steps, lr, ema_decay, weight_decay=1e-4)
        self.kl_weight, self.label_weight, self.seed = kl_weight, label_weight, seed
        self.label_loss = DiceCELoss(
            softmax=True,
            to_onehot_y=True,
            include_background=False,
            batch=True,
            lambda_dice=0.2,
            lambda_ce=2.0,
        )

    def losses(self, batch: tuple[Tensor, Tensor, Tensor], step: int) -> dict[str, Tensor]:
        """Loss of one batch of (image, label, position) and its terms."""
        image, label, position = batch
        mean, log_variance = self.model.encode(image, label, position)
        random = generator(self.seed, step, 1)
        noise = torch.randn(mean.shape, generator=random).to(mean)
        made, logits = self.model.decode(mean + torch.exp(log_variance / 2) * noise, position)
        difference = made.float() - image
        image_loss = difference.abs().mean() + 2 * difference.square().mean()
        label_loss = self.label_loss(logits.float(), label[:, None])
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).float().sum((1, 2, 3))
        loss = image_loss + self.label_weight * label_loss + self.kl_weight * kl.mean()
        return {"loss": loss, "image": image_loss, "label": label_loss, "kl": kl.mean()}
