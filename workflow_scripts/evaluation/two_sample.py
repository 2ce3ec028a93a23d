"""A classifier two-sample test: can a small network tell the slices of two groups apart?

Lopez-Paz & Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017; Kim et al., "Classification
accuracy as a proxy for two-sample testing", Annals of Statistics 49 (2021).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from workflow_scripts.common.patients import Patient
from workflow_scripts.common.subsets import evenly_chosen
from workflow_scripts.evaluation.intervals import UNKNOWN, auc_interval

# Side of a crop in voxels, or the slice's side if that is shorter.
SIDE = 32
# Crops per patient in training, and for the score of a held-out patient.
CROPS = 64
FOLDS = 5
# Maximum number of patients per group, evenly spaced.
PATIENTS = 100
# Crops per group in a training step.
BATCH = 8
LR = 3e-3
WEIGHT_DECAY = 1e-2
KERNELS, WIDTHS = (4, 3, 3), (16, 32, 32)


@dataclass(frozen=True)
class Crops:
    """Crops (patients, M, n, s, s) of a group of patients, with the patients' names."""

    names: list[str]
    images: NDArray[np.float32]


def crop_patient(folder: Path, rng: np.random.Generator) -> NDArray[np.float32]:
    """Square crops (M, n, s, s) of a patient's axial slices around random foreground voxels.

    Everything outside the foreground is 0, since a different mask would reveal the group, whatever
    the images look like.
    """
    patient = Patient(folder)
    inside = patient.foreground_slices > 0  # Z, X, Y
    image = np.asarray(patient.slices, np.float32) * inside[:, None]
    side = min(SIDE, *inside.shape[1:])
    crops = np.zeros((image.shape[1], CROPS, side, side), np.float32)
    places = np.argwhere(inside)
    if len(places):
        most = np.array(inside.shape[1:]) - side
        for k, (z, *centre) in enumerate(rng.choice(places, CROPS)):
            x, y = np.clip(np.array(centre) - side // 2, 0, most)
            crops[:, k] = image[z, :, x : x + side, y : y + side]
    return crops


def crop_patients(folders: Sequence[Path], seed: int) -> Crops:
    """Crops of a group, of at most ``PATIENTS``; a patient's do not depend on the others."""
    chosen = [Path(folders[k]) for k in evenly_chosen(len(folders), PATIENTS)]
    images = [crop_patient(folder, np.random.default_rng(seed)) for folder in chosen]
    return Crops([f.name for f in chosen], np.stack(images) if images else np.empty((0,) * 5))


class SliceClassifier(nn.Module):
    """A convolutional network that scores crops (B, 1, s, s): higher scores mean the first group.

    Its second input is the crop minus its mean over 3 x 3 pixels, which reveals blur and noise.
    """

    def __init__(self) -> None:
        super().__init__()
        layers, channels = [], 2
        for size, width in zip(KERNELS, WIDTHS, strict=True):
            layers += [nn.Conv2d(channels, width, size, 2, 1), nn.ReLU()]
            channels = width
        self.features, self.score = nn.Sequential(*layers), nn.Linear(channels, 1)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Scores (B,)."""
        detail = crops - nn.functional.avg_pool2d(crops, 3, 1, 1)
        x = self.features(torch.cat([4 * crops - 1.5, 20 * detail], 1))
        return self.score(x.mean((2, 3)))[:, 0]


def _batch(groups: Sequence[torch.Tensor], rng: torch.Generator) -> torch.Tensor:
    """Equally many crops (2 B, 1, s, s) of each group, randomly flipped; both groups have the same
    weight, whatever their number of patients."""
    drawn = []
    for crops in groups:
        who = torch.randint(len(crops), (BATCH,), generator=rng)
        which = torch.randint(crops.shape[1], (BATCH,), generator=rng)
        drawn.append(crops[who, which])
    batch = torch.cat(drawn)[:, None]
    for axis in (2, 3):
        turned = torch.rand(len(batch), 1, 1, 1, generator=rng) < 0.5
        batch = torch.where(turned, batch.flip(axis), batch)
    return batch


def fit_classifier(groups: Sequence[torch.Tensor], steps: int, seed: int) -> SliceClassifier:
    """Train a classifier for so many steps on crops (patients, n, s, s) of two groups."""
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SliceClassifier()
    adam = torch.optim.AdamW(network.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, LR, total_steps=steps + 1)
    target = torch.cat([torch.ones(BATCH), torch.zeros(BATCH)])
    for _ in range(steps):
        scores = network(_batch(groups, rng))
        loss = nn.functional.binary_cross_entropy_with_logits(scores, target)
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def mean_scores(network: SliceClassifier, crops: torch.Tensor) -> NDArray[np.float32]:
    """Mean score of each patient's crops (patients, n, s, s)."""
    return network(crops.flatten(0, 1)[:, None]).view(len(crops), -1).mean(1).numpy()


def draw_folds(
    names: Sequence[Sequence[str]], folds: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """The fold of each patient of two groups, evenly distributed over ``folds``. A patient in both
    groups, real and reconstructed, has the same fold in both."""
    fold: dict[str, int] = {}
    for group in names:
        new = [name for name in group if name not in fold]
        fold |= {new[k]: position % folds for position, k in enumerate(rng.permutation(len(new)))}
    return [np.array([fold[name] for name in group]) for group in names]


def separate(
    first: Crops,
    second: Crops,
    modality: int,
    steps: int,
    repeats: int,
    seed: int,
    confidence: float,
) -> tuple[float, float, float]:
    """AUC of a classifier for the patients of two groups in one modality (by index), and its
    interval over patients (``auc_interval``).

    The classifier is cross-fitted over patients, ``repeats`` times with new folds. The AUC is the
    share of pairs of patients, one of each group and held out in the same fold, in which the first
    group's patient has the higher mean score; ties count half. If the groups do not differ it is
    0.5 on average: swapping the groups of a pair would not change the classifier's training data.
    Scores of different folds are not compared: a fold's classifier expects fewer patients of a
    group the more of them were held out, which biases a pooled AUC downwards. NaN if a group has
    fewer than two patients.
    """
    folds = min(FOLDS, len(first.names), len(second.names))
    if folds < 2:
        return float("nan"), *UNKNOWN
    crops = [torch.from_numpy(group.images[:, modality].copy()) for group in (first, second)]
    wins = pairs = 0.0
    for repeat in range(repeats):
        rng = np.random.default_rng((seed, repeat))
        numbers = draw_folds((first.names, second.names), folds, rng)
        for fold in range(folds):
            sides = list(zip(crops, numbers, strict=True))
            training = [group[number != fold] for group, number in sides]
            network = fit_classifier(training, steps, int(rng.integers(2**31)))
            a, b = (mean_scores(network, group[number == fold]) for group, number in sides)
            wins += float((a[:, None] > b).sum() + 0.5 * (a[:, None] == b).sum())
            pairs += len(a) * len(b)
    auc = wins / pairs
    return auc, *auc_interval(auc, len(first.names), len(second.names), confidence)
