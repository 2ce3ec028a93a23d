"""The methods section of a paper, written from a run's configuration."""

from typing import Any

import pandas as pd

from workflow_scripts.common.prior import PRIORS
from workflow_scripts.configuration import Config
from workflow_scripts.evaluation.statistics import LEAST_SEEDS

REFERENCES = {
    "kebaili": "Kebaili A, Lapuyade-Lahorgue J, Vera P, Ruan S. 3D MRI synthesis with slice-based "
    "latent diffusion models: improving tumor segmentation tasks in data-scarce regimes. IEEE "
    "ISBI, 2024. arXiv:2406.05421.",
    "snakemake": "Mölder F, Jablonski KP, Letcher B, et al. Sustainable data analysis with "
    "Snakemake. F1000Research 10:33, 2021.",
    "mni": "Fonov V, Evans AC, Botteron K, et al. Unbiased average age-appropriate atlases for "
    "pediatric studies. NeuroImage 54:313–327, 2011.",
    "itk": "Lowekamp BC, Chen DT, Ibáñez L, Blezek D. The design of SimpleITK. Frontiers in "
    "Neuroinformatics 7:45, 2013.",
    "deepbet": "Fisch L, Zumdick S, Barkhau C, et al. deepbet: fast brain extraction of "
    "T1-weighted MRI using convolutional neural networks. Computers in Biology and Medicine "
    "179:108845, 2024.",
    "ldm": "Rombach R, Blattmann A, Lorenz D, Esser P, Ommer B. High-resolution image synthesis "
    "with latent diffusion models. CVPR, 2022.",
    "guidance": "Ho J, Salimans T. Classifier-free diffusion guidance. arXiv:2207.12598, 2022.",
    "edm": "Karras T, Aittala M, Aila T, Laine S. Elucidating the design space of diffusion-based "
    "generative models. NeurIPS, 2022.",
    "dpm": "Lu C, Zhou Y, Bao F, Chen J, Li C, Zhu J. DPM-Solver++: fast solver for guided "
    "sampling of diffusion probabilistic models. arXiv:2211.01095, 2022.",
    "nnunet": "Isensee F, Jaeger PF, Kohl SAA, Petersen J, Maier-Hein KH. nnU-Net: a "
    "self-configuring method for deep learning-based biomedical image segmentation. Nature "
    "Methods 18:203–211, 2021.",
    "monai": "Cardoso MJ, Li W, Brown R, et al. MONAI: an open-source framework for deep learning "
    "in healthcare. arXiv:2211.02701, 2022.",
    "nsd": "Nikolov S, Blackwell S, Zverovitch A, et al. Clinically applicable segmentation of "
    "head and neck anatomy for radiotherapy. Journal of Medical Internet Research 23:e26151, 2021.",
    "satterthwaite": "Satterthwaite FE. An approximate distribution of estimates of variance "
    "components. Biometrics Bulletin 1946;2(6):110–114. doi:10.2307/3002019",
}
NAMES = {"t1": "T1", "t1ce": "contrast-enhanced T1", "t2": "T2", "flair": "FLAIR"}
SOURCES = {
    "phantom": "phantoms: deformed MNI152 brains with painted tumours, so the results do not "
    "apply to patients",
    "brats": "a BraTS cohort",
    "msd": "the brain-tumour task of the Medical Segmentation Decathlon",
    "table": "the authors' own cohort",
}
STRIPPERS = {
    "auto": "deepbet {deepbet} for images that were not skull-stripped",
    "hd-bet": "HD-BET",
    "synthstrip": "SynthStrip",
    "given": "the masks that came with the images",
}


class Citations:
    """Numbers references in the order in which a text cites them: ``{cite.key}``."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def __getattr__(self, key: str) -> str:
        if key not in REFERENCES:
            raise AttributeError(key)
        if key not in self.keys:
            self.keys.append(key)
        return f"[{self.keys.index(key) + 1}]"


def methods(config: Config, splits: pd.DataFrame, packages: dict[str, str]) -> str:
    """Paragraphs in Markdown, and their numbered references.

    ``splits`` has one row per split and patient, with a ``role``; ``packages`` has versions by
    name.
    """
    cite = Citations()
    parts = [
        _patients(config, splits, cite),
        _preprocessing(config, cite),
        _generator(config, cite),
        _synthesis(config, cite),
        _segmentation(config, cite),
        _statistics(config, cite),
        _software(cite, packages),
    ]
    listed = [f"{number}. {REFERENCES[key]}" for number, key in enumerate(cite.keys, start=1)]
    return "\n\n".join(parts) + "\n\n" + "\n".join(listed) + "\n"


def _patients(config: Config, splits: pd.DataFrame, cite: Citations) -> str:
    roles = splits.groupby(["split", "role"]).size().unstack(fill_value=0)
    counts = {role: _span(roles[role]) for role in ("train", "validation", "test")}
    modalities = _listed([NAMES[m] for m in config.modalities])
    drawn = _times(splits["split"].str.split("-s").str[1].nunique())
    if config.cohort.splits.in_folds:
        drawn = f"in {config.cohort.splits.folds} folds, {drawn}"
    return (
        f"**Patients.** Images ({modalities}) and tumour labels came from "
        f"{SOURCES[config.cohort.source]}. Patients were split before anything was fitted: "
        f"{counts['train']} training, {counts['validation']} validation and {counts['test']} test "
        f"patients, drawn {drawn}. All models were trained on the training patients of their "
        f"split only; validation patients were used to choose {_chosen(config)}."
    )


def _preprocessing(config: Config, cite: Citations) -> str:
    settings, grid = config.preprocess, config.grid
    steps = []
    if settings.coregister != "never":
        steps.append("Modalities were registered rigidly to each other if they were not aligned")
    if stripper := STRIPPERS.get(settings.skull_strip):
        named = stripper.format(deepbet=cite.deepbet) if "{" in stripper else stripper
        steps.append(f"brains were masked by {named}")
    kind = "affinely" if settings.template == "affine" else "rigidly"
    steps.append(f"images were registered {kind} to MNI152 {cite.mni} with SimpleITK {cite.itk}")
    if settings.n4:
        steps.append("bias fields were corrected by N4")
    low, high = settings.percentiles
    size, spacing = (" × ".join(f"{v:g}" for v in s) for s in (grid.shape, grid.spacing_mm))
    steps.append(
        f"resampled once to {size} voxels of {spacing} mm, and scaled so that the percentiles "
        f"{low:g} and {high:g} inside the brain were mapped to 0 and 1"
    )
    return "**Preprocessing.** " + "; ".join(steps) + "."


def _generator(config: Config, cite: Citations) -> str:
    if config.synthesis.model:
        return (
            f"**Generator.** Synthetic patients came from a model (after Kebaili et al. "
            f"{cite.kebaili}) that another run had trained; whom it learned from is not known here."
        )
    auto, diffusion = config.autoencoder, config.diffusion
    augmented = (
        f" Of each training patient {auto.copies} augmented copies were encoded too."
        if auto.copies
        else ""
    )
    return (
        f"**Generator.** After Kebaili et al. {cite.kebaili}, a 2-D variational autoencoder "
        f"encoded each axial slice, modalities and label together, with its position, {auto.down} "
        f"times smaller along x and y into {auto.latent_channels} channels ({auto.steps} steps of "
        f"{auto.batch} slices, from {_start(auto.prior)}). The stacked latents of all slices were "
        f"learned by a 3-D latent diffusion model {cite.ldm} conditioned by the tumour's volume, "
        f"surface, sphericity, place and extent{_anatomy(config)} ({diffusion.steps} steps of "
        f"{diffusion.batch} patients, from {_start(diffusion.prior)}; "
        f"{_process(diffusion, cite)}).{augmented}"
    )


def _anatomy(config: Config) -> str:
    if config.diffusion.anatomy == "none":
        return ""
    return (
        ", and by tissue maps (grey matter, white matter, CSF) of the brain; it refines their "
        f"rendering with a training patient's contrasts{_layout(config)}"
    )


def _layout(config: Config) -> str:
    if config.diffusion.layout is None:
        return ""
    return ", and with a tumour whose regions a smaller diffusion model had sampled before"


def _process(diffusion, cite: Citations) -> str:
    if diffusion.preconditioning == "edm":
        predicted = f"preconditioning {cite.edm}"
    else:
        predicted = "prediction of the noise"
    if diffusion.noise == "lognormal":
        return f"{predicted}, log noise levels {diffusion.noise_mean:g} ± {diffusion.noise_sd:g}"
    schedule = diffusion.noise.replace("_", " ")
    return f"{predicted}, {diffusion.timesteps} timesteps of a {schedule} schedule"


def _start(prior: str) -> str:
    if prior in PRIORS:
        return "weights trained on phantoms"
    other = "another run's weights, with unknown training patients"
    return "random weights" if prior == "none" else other


def _synthesis(config: Config, cite: Citations) -> str:
    synthesis = config.synthesis
    if synthesis.requests:
        source = "from a table"
    else:
        shares = ", uniform shares of core and enhancing tumour" * (synthesis.shares == "uniform")
        source = (
            f"{synthesis.patients} for each split, near the training tumours (log volume ± "
            f"{synthesis.jitter:g}, centroid ± {synthesis.jitter_mm:g} mm{shares})"
        )
    return (
        f"**Synthesis.** Tumours were requested by volume, centroid and sphericity: {source}. "
        f"Samples "
        f"took {synthesis.sampling_steps} steps of DPM-Solver++ {cite.dpm} from a noise level of "
        f"{synthesis.sigma_max:g} (stochasticity {synthesis.stochasticity:g}, order "
        f"{synthesis.order}{_guidance(synthesis, cite)}). {_brains(config)}A sample was drawn "
        f"again, up to {synthesis.attempts} times in all, while its tumour's volume was "
        f"{synthesis.volume_tolerance:g} times larger or smaller than requested, or lay more than "
        f"{synthesis.centroid_tolerance_mm:g} mm away, its brain was torn, or its label "
        "had large holes."
    )


def _guidance(synthesis, cite: Citations) -> str:
    if synthesis.guidance == 1:
        return ""
    return f", classifier-free guidance {cite.guidance} {synthesis.guidance:g}"


def _brains(config: Config) -> str:
    synthesis = config.synthesis
    # The anatomies of another run's model, or of a table of requests, are not in the configuration.
    if config.diffusion.anatomy == "none" or synthesis.model or synthesis.requests:
        return ""
    brain = {
        "phantom": "a phantom brain of its own, distributed as in the training patients",
        "patients": "a warped training patient",
    }
    return f"Each was given the tissue maps of {brain[synthesis.anatomy]}. "


def _segmentation(config: Config, cite: Citations) -> str:
    segmentation = config.segmentation
    share = f"{100 * segmentation.synthetic_fraction:g} %"
    return (
        f"**Segmentation.** A 3-D U-Net (MONAI's DynUNet {cite.monai}) learned from each arm "
        f"({_listed([a.replace('+', ' + ') for a in segmentation.arms])}) for the same "
        f"{segmentation.steps} steps of {segmentation.batch} patients. Classical augmentation is "
        f"nnU-Net's {cite.nnunet}; in arms with synthetic patients, {share} of the samples were "
        f"synthetic.{_before(config)}{_mixed(config)}{_implanted(config)}{_rivals(config)}"
    )


def _before(config: Config) -> str:
    if "synthetic_first" not in config.segmentation.words:
        return ""
    share = f"{100 * config.segmentation.first:g} %"
    return (
        f" With synthetic first, {share} of the steps used synthetic patients only, the later "
        f"steps real ones."
    )


def _mixed(config: Config) -> str:
    papers = {
        "cutmix": "CutMix (Yun et al. 2019)",
        "carvemix": "CarveMix (Zhang et al. 2021)",
        "tumorcp": "tumours copied after TumorCP (Yang et al. 2021)",
    }
    words = config.segmentation.words
    if not (named := [text for name, text in papers.items() if name in words]):
        return ""
    share = f"{100 * config.segmentation.mix:g} %"
    return f" With {_listed(named)}, {share} of the samples were mixed with another patient."


def _implanted(config: Config) -> str:
    if "implanted" not in config.segmentation.words:
        return ""
    implant = config.synthesis.implant
    return (
        " Implanted patients were training patients and warped copies of them, with a generated "
        f"tumour, their own {implant.own_tumour}, within a margin of "
        f"{implant.margin_mm:g} mm."
    )


def _rivals(config: Config) -> str:
    gan, ldm = config.rivals.gan3d, config.rivals.ldm3d
    papers = {
        "gan3d": "a 3-D GAN of image and label (hinge loss, spectral normalisation; Miyato et al. "
        f"2018; {gan.steps} steps of {gan.batch} volumes)",
        "ldm3d": "a 3-D latent diffusion model as in MONAI's example (Pinaya et al. 2022; "
        f"{ldm.autoencoder_steps} steps of the autoencoder and {ldm.steps - ldm.autoencoder_steps} "
        f"of the denoiser, {ldm.batch} volumes each)",
    }
    if not (named := [text for name, text in papers.items() if name in config.segmentation.words]):
        return ""
    return (
        f" For comparison, arms were trained with synthetic patients of {_listed(named)}, "
        f"unconditional and "
        "trained from random weights on warped copies of the same training patients."
    )


def _statistics(config: Config, cite: Citations) -> str:
    evaluation = config.evaluation
    tolerance = config.segmentation.nsd_tolerance_mm
    return (
        "**Statistics.** Test patients were scored by Dice, the 95th percentile of the Hausdorff "
        f"distance, the surface Dice at {tolerance:g} mm {cite.nsd} and the volume error, averaged "
        "over seeds for each patient first. "
        f"{_opponent(evaluation.opponent)} Differences were paired by patient and seed. "
        f"{_interval(config, cite)} Regions were corrected for each other by Bonferroni's method."
    )


def _chosen(config: Config) -> str:
    weights = "the segmentation network's weights"
    opponent = "the arm that synthetic patients were compared with"
    named = [weights] * (config.segmentation.keep == "best")
    named += [opponent] * (config.evaluation.opponent == "validation")
    return " and ".join(named) or "nothing"


def _interval(config: Config, cite: Citations) -> str:
    evaluation, share = config.evaluation, f"{100 * config.evaluation.confidence:g} %"
    if len(config.cohort.splits.seeds) < LEAST_SEEDS:
        return (
            f"With fewer than {LEAST_SEEDS} seeds nothing is decided: {share} intervals assume a "
            f"standard deviation between seeds of {evaluation.seed_sd:g}."
        )
    return (
        f"{share} intervals come from crossed random effects of patients and seeds; their degrees "
        f"of freedom are the harmonic mean of Satterthwaite's {cite.satterthwaite} and of the "
        "smaller number of patients or seeds minus one."
    )


def _opponent(opponent: str) -> str:
    if opponent == "validation":
        return (
            "Synthetic patients were compared with the arm without them that had the best "
            "validation Dice."
        )
    return f"Synthetic patients were compared with the arm {opponent.replace('+', ' + ')}."


def _software(cite: Citations, packages: dict[str, str]) -> str:
    named = ", ".join(f"{name} {version}" for name, version in packages.items())
    return f"**Software.** SBLDM, a Snakemake {cite.snakemake} workflow, with {named}."


def _span(counts: pd.Series) -> str:
    return "–".join(str(count) for count in sorted({int(counts.min()), int(counts.max())}))


def _listed(names: list[Any]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times with different seeds"
