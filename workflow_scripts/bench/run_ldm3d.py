"""Rule ``run_ldm3d``: MONAI's 3-D latent diffusion example on a split's training patients."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workflow_scripts.autoencoder.reconstruct_patients import reconstruction_scores
from workflow_scripts.bench.monai_ldm3d import VolumeSystem, draw_generator
from workflow_scripts.bench.timed_step import optimiser_step
from workflow_scripts.common.device import autocast, device
from workflow_scripts.common.files import staged_directory, write_json, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import class_count, collapse
from workflow_scripts.common.masks import foreground
from workflow_scripts.common.patients import Patient, save_patient
from workflow_scripts.common.randomness import generator
from workflow_scripts.configuration import Config, check
from workflow_scripts.rivals.ldm3d_networks import noise_loss, reconstruction_loss, sample_latent

# More than the example's 5e-6, since there are few steps in minutes.
RATE = 2e-4
# Image (M, X, Y, Z), class labels and foreground (X, Y, Z).
Decoded = tuple[NDArray, NDArray, NDArray]


class VolumeDiffusion:
    """The example's two networks, trained one after another on a list of volumes; each step uses
    one, randomly mirrored."""

    def __init__(self, config: Config, volumes: list[Tensor], seed: int) -> None:
        self.system = VolumeSystem(config, config.autoencoder.precision)
        self.volumes, self.seed = volumes, seed
        self.modalities = len(config.modalities)
        self.autoencoder, self.denoiser = self.system.autoencoder(), self.system.denoiser()
        self.scale = 1.0

    def train_autoencoder(self, steps: int) -> None:
        """Train the autoencoder, and compute the factor that scales a volume's latents to unit
        variance, as in the example."""
        self._train(self.autoencoder, lambda x: reconstruction_loss(self.autoencoder, x), steps)
        self.scale = float(1 / self.encode(self.volumes[0]).std())

    def train_denoiser(self, steps: int) -> None:
        """Train the denoiser. Each step encodes its volume, as in the example."""
        process = self.system.process

        def loss(x: Tensor) -> Tensor:
            latent = self.encode(x[0]).clone()
            return noise_loss(self.denoiser, process, latent, draw_generator(latent.device))

        self._train(self.denoiser, loss, steps)

    @torch.inference_mode()
    def encode(self, volume: Tensor) -> Tensor:
        """Scaled mean latents (1, C, x, y, z) of a volume (C, X, Y, Z)."""
        with autocast(self.system.precision, device()):
            mean, _ = self.autoencoder.encode(volume[None].to(device()))
        return self.scale * mean.float()

    @torch.inference_mode()
    def decode(self, latent: Tensor) -> Decoded:
        """A patient from scaled latents, in the form of the slice autoencoder's."""
        with autocast(self.system.precision, device()):
            channels = self.autoencoder.decode(latent / self.scale)[0].float().cpu()
        image, masks = channels[: self.modalities].numpy().clip(0, 1), channels[self.modalities :]
        classes = torch.cat([torch.full_like(masks[:1], 0.5), masks]).argmax(0)
        inside = foreground(image)
        return image * inside, classes.numpy().astype(np.uint8) * inside, inside

    @torch.inference_mode()
    def sample(self, number: int) -> Decoded:
        """The synthetic patient with a number."""
        system, random = self.system, generator(self.seed, number)
        latent = sample_latent(
            self.denoiser, system.process, system.latent_shape, system.evaluations,
            system.precision, random,
        )  # fmt: skip
        return self.decode(latent)

    def _train(self, network: nn.Module, loss: Callable[[Tensor], Tensor], steps: int) -> None:
        network.train()
        adam = torch.optim.Adam(network.parameters(), RATE)
        for step in range(steps):
            x = self._draw(step)
            optimiser_step(network, adam, lambda x=x: loss(x), self.system.precision)
        network.eval().requires_grad_(False)

    def _draw(self, step: int) -> Tensor:
        rng = generator(self.seed, step)
        x = self.volumes[int(torch.randint(len(self.volumes), (), generator=rng))]
        mirrored = torch.rand((), generator=rng) < 0.5
        return (x.flip(1) if mirrored else x)[None].to(device())


def volume(folder: Path, labels: str) -> Tensor:
    """A patient (C, X, Y, Z): modalities, then a channel for each class but the background."""
    patient = Patient(folder)
    classes = collapse(patient.label(), labels)
    masks = [classes == value for value in range(1, class_count(labels))]
    return torch.from_numpy(np.concatenate([patient.image(), np.stack(masks)]).astype(np.float32))


def scores(model: VolumeDiffusion, folders: list[Path], labels: str) -> Iterator[dict]:
    """Reconstruction scores of each patient."""
    for folder in folders:
        patient = Patient(folder)
        reconstruction, label, _ = model.decode(model.encode(volume(folder, labels)))
        pair = (patient.image(), collapse(patient.label(), labels), reconstruction, label)
        quality = reconstruction_scores(*pair, patient.brain(), class_count(labels))
        yield {"patient_id": patient.patient_id, **quality}


def main(snakemake) -> None:
    # The time of encoding is included in each step of the denoiser's training.
    params, times = snakemake.params, {"encoding": 0.0}

    def timed(name: str, work: Callable[[int], None], count: int) -> None:
        begin = time.perf_counter()
        work(count)
        times[name] = round(time.perf_counter() - begin, 1)

    torch.set_num_threads(snakemake.threads)
    torch.manual_seed(params.seed)
    config = check(params.configuration)
    train, test = ([Path(p).parent for p in snakemake.input[side]] for side in ("train", "test"))
    model = VolumeDiffusion(config, [volume(f, config.labels) for f in train], params.seed)
    timed("autoencoder", model.train_autoencoder, params.steps["autoencoder"])
    reconstruction_table = pd.DataFrame(scores(model, test, config.labels))
    timed("diffusion", model.train_denoiser, params.steps["diffusion"])
    affine = Grid.from_settings(config.grid.model_dump()).affine
    with staged_directory(snakemake.output.patients) as folder:

        def sample(count: int) -> None:
            for number in range(1, count + 1):
                save_patient(folder / f"synthetic-{number:04d}", *model.sample(number), affine)

        timed("sampling", sample, len(test))
    write_table(reconstruction_table, snakemake.output.reconstruction)
    write_json(times, snakemake.output.times)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
