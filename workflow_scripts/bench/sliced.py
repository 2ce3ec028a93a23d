"""The steps of this workflow's networks, for any of its configurations."""

from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workflow_scripts.autoencoder.codec import build_model as build_autoencoder
from workflow_scripts.autoencoder.codec import encode_slices, slices_at_once
from workflow_scripts.autoencoder.model import SliceAutoencoder, slice_positions
from workflow_scripts.autoencoder.train import AutoencoderTraining
from workflow_scripts.bench.timed_step import TimedStep, optimiser_step
from workflow_scripts.common.attributes import CONDITIONS
from workflow_scripts.common.device import autocast, device
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.training import Training
from workflow_scripts.configuration import Config
from workflow_scripts.diffusion.conditions import Scaling, ellipsoid_of
from workflow_scripts.diffusion.generator import Bundle, build_bundle
from workflow_scripts.diffusion.latents import empty_space
from workflow_scripts.diffusion.layouts import LAYOUT_SHAPE, MAPS_BESIDE, REGIONS
from workflow_scripts.diffusion.process import Process
from workflow_scripts.diffusion.train import Denoisers, DiffusionTraining, LatentBatches
from workflow_scripts.preprocess.tissue import TISSUES

# Number of volumes from which a training draws its latents.
STORED = 4


class SlicedSystem:
    """A slice autoencoder and a denoiser of stacks, untrained and on random volumes, which does not
    affect their time.

    ``slices`` and ``volumes`` are the batch sizes of the trainings. ``encodes_anew`` is the
    procedure of the paper's reference implementation: each training step of the denoiser encodes
    its patients again. This workflow stores latents.
    """

    def __init__(
        self, config: Config, slices: int, volumes: int = 1, encodes_anew: bool = False
    ) -> None:
        self.config, self.encodes_anew = config, encodes_anew
        self.slices, self.volumes = slices, volumes
        self.grid = Grid.from_settings(config.grid.model_dump())
        x, y, z = self.grid.shape
        down = config.autoencoder.down
        self.latent_shape = (config.autoencoder.latent_channels, x // down, y // down, z)

    def autoencoder_train(self) -> TimedStep:
        """A training step of the slice autoencoder."""
        settings, model = self.config.autoencoder, self._autoencoder()
        training = AutoencoderTraining(model, settings, seed=0).to(device())
        images, labels = self._volume(self.slices)
        batch = tuple(
            torch.from_numpy(part).to(device())
            for part in (images, labels, slice_positions(self.slices).numpy())
        )
        step = self._training_step(training, batch, settings)
        return TimedStep(step, self.slices, "slice", (model,), settings.precision)

    def encode(self) -> TimedStep:
        """Encode as many slices of one patient as are encoded at once."""
        settings, model = self.config.autoencoder, self._autoencoder().eval()
        count = self._at_once()
        call = partial(_encode, model, *self._volume(count), settings.precision)
        return TimedStep(call, count, "slice", (model.encoder,), settings.precision)

    def second_stage_train(self) -> TimedStep:
        """A training step of the denoiser on a batch, which is encoded first with
        ``encodes_anew``."""
        settings = self.config.diffusion
        bundle = self._bundle()
        process = Process(settings)
        networks = Denoisers(bundle.denoiser, bundle.layout)
        training = DiffusionTraining(networks, process, bundle.space, settings, self.grid, seed=0)
        training.to(device())
        requests = self._requests(STORED)
        latents = np.zeros((STORED, *self.latent_shape), np.float16)
        conditions = Scaling.fit(requests).vectors(requests)
        anatomy = self._anatomy(STORED) if settings.anatomy == "tissue" else None
        bits = REGIONS * int(np.prod(self.grid.shape)) // 8
        tumours = np.zeros((STORED, bits), np.uint8) if settings.layout else None
        batches = LatentBatches(
            latents, conditions, ellipsoid_of(requests), anatomy, self.volumes, 0, tumours
        )
        batch = tuple(part.to(device()) for part in batches(0))
        step = self._training_step(training, batch, settings)
        if not self.encodes_anew:
            return TimedStep(step, self.volumes, "volume", _networks(bundle), settings.precision)
        autoencoder, volume = self._autoencoder().eval(), self._volume(self.grid.shape[2])

        def encode_and_step() -> None:
            for _ in range(self.volumes):
                _encode(autoencoder, *volume, self.config.autoencoder.precision)
            step()

        return TimedStep(
            encode_and_step, self.volumes, "volume", _networks(bundle), settings.precision
        )

    def denoise(self) -> TimedStep:
        """One evaluation of the denoiser and of the layout denoiser for one volume, as in
        sampling."""
        settings = self.config.diffusion
        precision = self.config.synthesis.precision
        bundle = self._bundle().eval().to(device())
        process, requests = Process(settings), self._requests(2)
        vectors = Scaling.fit(requests).vectors(requests)[:1].to(device())
        ellipsoid = ellipsoid_of(requests)[:1].to(device())
        present = torch.ones(1, dtype=torch.bool, device=device())
        anatomy = torch.zeros(2, 1, 0).to(device())
        if settings.anatomy == "tissue":
            anatomy = [torch.from_numpy(part).to(device()) for part in self._anatomy(1)]
        x = torch.randn(1, *bundle.space.folded_shape, device=device())
        sigma = torch.ones(1, device=device())
        layout = torch.randn(1, *LAYOUT_SHAPE, device=device())
        frame = torch.zeros(1, MAPS_BESIDE, *LAYOUT_SHAPE[1:], device=device())

        @torch.inference_mode()
        def call() -> Tensor:
            if bundle.layout:
                with autocast(precision, device()):
                    bundle.layout(layout, sigma, vectors, present, frame)
            known = bundle.condition(settings, vectors, ellipsoid, present, *anatomy)
            return bundle.estimate(process, x, sigma, known, precision)

        return TimedStep(call, 1, "volume", _networks(bundle), precision)

    def decode(self) -> TimedStep:
        """Decode as many slices as are decoded at once."""
        settings, model = self.config.autoencoder, self._autoencoder().eval()
        count = self._at_once()
        latents = torch.randn(count, *self.latent_shape[:3], device=device())
        positions = slice_positions(count).to(device())

        @torch.inference_mode()
        def call() -> Tensor:
            with autocast(settings.precision, device()):
                return model.decode(latents, positions)[0]

        return TimedStep(call, count, "slice", (model.decoder,), settings.precision)

    @property
    def evaluations(self) -> int:
        """Evaluations of the denoiser for one sample."""
        synthesis = self.config.synthesis
        return synthesis.sampling_steps * (1 if synthesis.guidance == 1 else 2)

    def _at_once(self) -> int:
        z = self.grid.shape[2]
        return min(z, slices_at_once(z, self.grid.shape[:2], device())[0].stop)

    def _volume(self, slices: int) -> tuple[np.ndarray, np.ndarray]:
        rng, (x, y, _) = np.random.default_rng(0), self.grid.shape
        images = rng.random((slices, len(self.config.modalities), x, y), np.float32)
        labels = np.zeros((slices, x, y), np.uint8)
        labels[:, x // 3 : x // 2, y // 3 : y // 2] = 1
        return images, labels

    def _requests(self, count: int) -> pd.DataFrame:
        rng = np.random.default_rng(0)
        return pd.DataFrame(rng.uniform(20, 40, (count, len(CONDITIONS))), columns=list(CONDITIONS))

    def _bundle(self) -> Bundle:
        settings = self.config.diffusion
        modalities = len(self.config.modalities)
        space = empty_space(self.latent_shape, self.grid, modalities, settings)
        return build_bundle(settings, space, self.grid)

    def _anatomy(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        tissue = np.zeros((count, len(TISSUES), *self.grid.shape), np.uint8)
        return tissue, np.zeros((count, *self.latent_shape), np.float16)

    def _autoencoder(self) -> SliceAutoencoder:
        config = self.config
        return build_autoencoder(config.autoencoder, config.modalities, config.labels).to(device())

    def _training_step(self, training: Training, batch: tuple[Tensor, ...], settings):
        adam = training.configure_optimizers()["optimizer"]

        def call() -> None:
            optimiser_step(
                training.model,
                adam,
                lambda: training.losses(batch, 0)["loss"],
                settings.precision,
                settings.clip,
            )
            training.average.update_parameters(training.model)

        return call


def _networks(bundle: Bundle) -> tuple[torch.nn.Module, ...]:
    """The denoiser, and the layout denoiser if there is one."""
    return (bundle.denoiser, bundle.layout) if bundle.layout else (bundle.denoiser,)


def _encode(model, images: np.ndarray, labels: np.ndarray, precision: str) -> None:
    for _ in encode_slices(model, images, labels, precision):
        pass
