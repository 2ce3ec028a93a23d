"""The expected cost of a run: core seconds by rule, and the memory that its jobs request."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.configuration import Config
from workflow_scripts.segmentation.settings import words_of

RULES = Path(__file__).resolve().parents[1] / "rules"
# The grid of the demo, on which the rates were measured.
VOXELS = 64 * 64 * 48
MEMORY = re.compile(r"mem_mb=memory\((\d+)(?:, ([\d.]+))?\)")


@dataclass(frozen=True)
class Rate:
    """Core seconds of a job: ``start``, plus ``each`` per unit of its work.

    Measured on two cores of an AMD EPYC with bf16 in hardware, on the demo's grid with two
    modalities (``results/benchmarks/`` of `make demo`, 30 November 2026).
    """

    start: float
    each: float = 0.0


# Units: a slice of a step, a volume, a patient of a step, a synthetic patient, a test patient.
RATES = {
    "make_phantom": Rate(8.4),
    "preprocess_patient": Rate(20),
    "train_autoencoder": Rate(10, 0.02),
    "encode_patients": Rate(10, 0.5),
    "train_diffusion": Rate(12, 0.5),
    "synthesise_patients": Rate(12, 9),
    "synthesise_sweep": Rate(12, 9),
    "train_segmentation": Rate(5, 0.11),
    "predict_segmentation": Rate(5, 0.2),
    "score_segmentation": Rate(4, 0.4),
    "reconstruct_patients": Rate(4, 0.4),
    "evaluate_quality": Rate(5, 0.7),
    "evaluate_two_sample": Rate(5, 0.7),
    "evaluate_memory": Rate(5, 0.3),
    "draw_figures": Rate(9),
}
# These do not depend on the grid.
OFF_GRID = ("make_phantom", "preprocess_patient", "draw_figures")


@dataclass(frozen=True)
class Work:
    """The number of jobs of a rule, and the units of work of each."""

    jobs: int
    units: float = 0.0


def work(config: Config) -> dict[str, Work]:
    """Jobs and their work by rule, for a complete run without rivals and nnU-Net."""
    splits = config.cohort.splits
    patients, count = splits.patients_needed, len(splits.names)
    train, test = splits.largest_split
    auto, synthesis = config.autoencoder, config.synthesis
    segmentation, arms = config.segmentation, len(config.segmentation.arms)
    generated = synthesis.patients
    if any("implanted" in words_of(arm) for arm in segmentation.arms):
        generated *= 2
    trained = 0 if synthesis.model else count
    held_out = test + splits.validation
    return {
        "make_phantom": Work(patients if config.cohort.source == "phantom" else 0),
        "preprocess_patient": Work(patients),
        "train_autoencoder": Work(trained, auto.steps * auto.batch),
        "encode_patients": Work(trained, train * (1 + auto.copies)),
        "train_diffusion": Work(trained, config.diffusion.steps * config.diffusion.batch),
        "synthesise_patients": Work(count, generated),
        "synthesise_sweep": Work(count, len(synthesis.sweep_ml) + synthesis.sweep_places),
        "train_segmentation": Work(count * arms, segmentation.steps * segmentation.batch),
        "predict_segmentation": Work(count * arms, test),
        "score_segmentation": Work(count * arms, test),
        "reconstruct_patients": Work(count, held_out),
        "evaluate_quality": Work(count, generated + held_out),
        "evaluate_two_sample": Work(count, generated + held_out),
        "evaluate_memory": Work(count, generated + held_out),
        "draw_figures": Work(1),
    }


def job_seconds(config: Config) -> dict[str, tuple[int, float]]:
    """Jobs of each rule, and the expected core seconds of one."""
    larger = math.prod(config.grid.shape) / VOXELS * len(config.modalities) / 2
    seconds = {}
    for rule, done in work(config).items():
        rate = RATES[rule]
        scale = 1 if rule in OFF_GRID else larger
        seconds[rule] = done.jobs, rate.start + scale * rate.each * done.units
    return seconds


def hours(config: Config, cores: int) -> float:
    """Hours of a run on so many cores, if all are busy."""
    return sum(jobs * each for jobs, each in job_seconds(config).values()) / cores / 3600


def largest_memory(config: Config) -> tuple[str, int]:
    """The rule that requests the most memory, and its megabytes."""
    voxels = math.prod(config.grid.shape)
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(RULES.glob("*.smk")))
    # The text before the first rule, then alternating names and bodies.
    _, *parts = re.split(r"^ *(?:use )?rule (\w+)\b.*:$", text, flags=re.MULTILINE)
    bodies = dict(zip(parts[::2], parts[1::2], strict=True))
    requested = {}
    for rule, done in work(config).items():
        if done.jobs and (memory := MEMORY.search(bodies.get(rule, ""))):
            requested[rule] = round(float(memory[1]) + float(memory[2] or 0) * voxels / 1000)
    return max(requested.items(), key=lambda item: item[1])
