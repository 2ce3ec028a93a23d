"""Training of the segmentation network, with validation checks that may select its weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from monai.losses import DiceLoss
from torch import Tensor, nn

from workflow_scripts.common.masks import dice
from workflow_scripts.common.patients import Patient
from workflow_scripts.common.processes import local_rank
from workflow_scripts.common.training import Training
from workflow_scripts.segmentation.blocks import reference_masks, whole
from workflow_scripts.segmentation.segmenter import predict_masks
from workflow_scripts.segmentation.settings import SegmentationSettings


def validation_steps(steps: int, checks: int) -> list[int]:
    """Evenly spaced steps after which the validation patients are scored, including the last
    step."""
    return sorted({max(1, round(steps * k / checks)) for k in range(1, checks + 1)})


def validation_dice(
    network: nn.Module, patients: list[Patient], labels: str, settings: SegmentationSettings
) -> float:
    """Mean Dice over patients and regions."""
    scores = []
    for patient in patients:
        image, label, _ = whole(patient)
        guess = predict_masks(network, image, settings)
        truth = reference_masks(label, labels)
        scores += [dice(*pair) for pair in zip(guess, truth, strict=True)]
    return float(np.mean(scores))


class SegmentationTraining(Training):
    """Dice over the batch and cross-entropy, on regions that may overlap.

    Dice is computed over the whole batch, so that the loss of patients with small tumours does not
    fluctuate. After the steps ``checks``, ``validate`` scores the averaged weights; ``kept`` has
    those of the last check or, with ``settings.keep`` = best, those with the highest score, the
    later ones if equal.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: SegmentationSettings,
        validate: Callable[[nn.Module], float],
    ) -> None:
        super().__init__(model, settings)
        self.validate = validate
        self.checks = validation_steps(settings.steps, settings.validations)
        self.scores: dict[int, float] = {}
        self.keep_best = settings.keep == "best"
        self.kept: dict[str, Tensor] = {}
        self.dice_loss = DiceLoss(sigmoid=True, batch=True)

    def losses(self, batch: tuple[Tensor, Tensor], step: int) -> dict[str, Tensor]:
        """Loss of one batch of (images, region masks) and its terms."""
        image, masks = batch
        logits = self.model(image).float()
        overlap = self.dice_loss(logits, masks)
        entropy = nn.functional.binary_cross_entropy_with_logits(logits, masks)
        return {"loss": overlap + entropy, "dice_loss": overlap, "cross_entropy": entropy}

    def optimizer_step(self, epoch: int, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        """Make the step, then score the validation patients if a check is due."""
        super().optimizer_step(epoch, batch_idx, *args, **kwargs)
        if (step := batch_idx + 1) in self.checks and not local_rank():
            self._check(step)

    def _check(self, step: int) -> None:
        network = self.average.module.eval()
        score = self.validate(network)
        network.train()
        if not self.keep_best or score >= max(self.scores.values(), default=0.0):
            self.kept = {k: v.detach().clone() for k, v in network.state_dict().items()}
        self.scores[step] = score
        if self.logger:
            self.logger.experiment.add_scalar("validation_dice", score, step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the finished checks and the selected weights."""
        checkpoint["validation"] = {"scores": self.scores, "kept": self.kept}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the checks of an interrupted run."""
        self.scores = checkpoint["validation"]["scores"]
        self.kept = checkpoint["validation"]["kept"]

    def kept_score(self) -> float:
        """Validation Dice of the selected weights."""
        return max(self.scores.values()) if self.keep_best else self.scores[max(self.scores)]

    def kept_network(self) -> nn.Module:
        """The network with the selected weights."""
        self.model.load_state_dict(self.kept)
        return self.model.eval().cpu()

    def history(self, losses: pd.DataFrame) -> pd.DataFrame:
        """Losses by step, with the validation Dice in the rows of checks."""
        checks = pd.DataFrame({"step": list(self.scores), "validation_dice": self.scores.values()})
        return losses.merge(checks, on="step", how="outer").sort_values("step")


def initial_network(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """The network with initial weights that depend on the seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
