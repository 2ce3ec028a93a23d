"""The configuration as a whole: checked before any job, and the source of ``config.schema.json``.

Default values are in ``config.yaml`` only, so no field here has one. The comments there are the
descriptions here.
"""

import difflib
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from os.path import expanduser
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from workflow_scripts.autoencoder.settings import (
    AutoencoderConfig,
    AutoencoderSection,
    SliceNetworkSettings,
)
from workflow_scripts.bench.settings import BenchSettings
from workflow_scripts.cohort.settings import MOST_ON_GRID, CohortSettings
from workflow_scripts.common.files import UserError, read_json, read_table
from workflow_scripts.common.prior import prior_file
from workflow_scripts.common.settings import (
    GridSettings,
    Labels,
    Modality,
    Section,
    UserPath,
    check_values,
)
from workflow_scripts.common.strict_yaml import read_yaml
from workflow_scripts.diffusion.settings import (
    DenoiserSettings,
    DiffusionConfig,
    DiffusionSection,
)
from workflow_scripts.evaluation.settings import EvaluationSettings
from workflow_scripts.nnunet.settings import NNUNetSettings
from workflow_scripts.preprocess.settings import PreprocessSettings
from workflow_scripts.rivals.settings import RivalsSettings
from workflow_scripts.segmentation.settings import GENERATED, SegmentationSection, words_of
from workflow_scripts.synthesis.folder import CHECKSUMS, check_files, check_model_folder
from workflow_scripts.synthesis.settings import SynthesisSettings

ROOT = Path(__file__).resolve().parents[1]
DEFAULTS = ROOT / "config.yaml"
SCHEMA = ROOT / "config" / "config.schema.json"
# Comments in config.yaml: their first column, and the length of a line.
COMMENT_COLUMN, LINE_LENGTH = 28, 120
SHOWN = 80  # maximum characters of a wrong value in a message


class Config(Section):
    """All values of a run, in the order of the stages."""

    results: UserPath = Field(description="folder for all outputs", min_length=1)
    seed: int = Field(
        description="seed of everything except the splits, which have their own seeds", ge=0
    )
    modalities: list[Modality] = Field(
        description="MRI modalities, from t1, t1ce, t2, flair; figures show the first", min_length=1
    )
    labels: Labels = Field(
        description="region set: whole_tumour, or subregions (whole tumour, core, enhancing tumour)"
    )
    grid: GridSettings = Field(description="grid of all networks, in template space (MNI152)")
    cohort: CohortSettings
    preprocess: PreprocessSettings
    autoencoder: AutoencoderSection
    diffusion: DiffusionSection
    synthesis: SynthesisSettings
    rivals: RivalsSettings = Field(
        description="other generators, for arms with their names: real+classical+gan3d, +ldm3d"
    )
    segmentation: SegmentationSection
    evaluation: EvaluationSettings
    nnunet: NNUNetSettings = Field(
        description="second segmentation network for results/nnunet/segmentation.md, if nnU-Net is "
        "installed"
    )
    bench: BenchSettings = Field(description="for `make bench`, `make curves` and `make sampler`")

    @field_validator("modalities")
    @classmethod
    def _distinct(cls, modalities: list[str]) -> list[str]:
        if len(set(modalities)) < len(modalities):
            raise ValueError("a modality is named twice")
        return modalities

    @field_validator("results")
    @classmethod
    def _own_folder(cls, results: str) -> str:
        try:
            folder, here = Path(results).resolve(), Path.cwd()
            is_file = folder.exists() and not folder.is_dir()
        except OSError as error:
            raise ValueError(f"is no folder: {error.strerror}") from None
        if folder in (Path(folder.anchor), Path(expanduser("~")), here, *here.parents):
            raise ValueError("name a folder of the run's own")
        if is_file:
            raise ValueError("is a file; name a folder")
        return results

    @model_validator(mode="after")
    def _stages_fit_each_other(self) -> "Config":
        faults = [
            *_sizes_that_do_not_fit(self),
            *_sizes_that_rivals_do_not_take(self),
            *_patients_that_do_not_fit(self),
            *_values_that_do_not_fit(self),
            *_priors_that_do_not_fit(self),
            *_phantoms_without_a_prior(self),
            *_opponents_that_do_not_fit(self),
            *_training_patients_that_synthesis_lacks(self),
            *_files_that_synthesis_lacks(self),
            *_files_that_the_sampler_lacks(self),
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self


def _sizes_that_do_not_fit(config: Config) -> Iterator[str]:
    """Problems of grids that do not fit the networks."""
    down, (px, py, pz) = config.autoencoder.down, config.diffusion.patch
    in_plane = "autoencoder.stem and widths, diffusion.patch"
    for axis, size, factor, key in zip(
        "xyz",
        config.grid.shape,
        (down * px, down * py, pz),
        (in_plane, in_plane, "diffusion.patch"),
        strict=True,
    ):
        halvings = 2 ** (len(config.diffusion.widths) - 1)
        if size % factor:
            yield f"grid.shape: {size} voxels along {axis} are no multiple of {factor} ({key})"
        elif size // factor % halvings:
            count = len(config.diffusion.widths)
            yield (
                f"diffusion.widths: {size} voxels along {axis} are {size // factor} in the "
                f"latents, which {count} widths halve {count - 1} times; use fewer widths, or a "
                f"multiple of {factor * halvings} voxels"
            )
    if config.autoencoder.loss.equivariance and any(n % (2 * down) for n in config.grid.shape[:2]):
        yield (
            f"autoencoder.loss.equivariance halves latents, and {config.grid.shape[0]} or "
            f"{config.grid.shape[1]} voxels along x and y are no multiple of {2 * down}; set it "
            f"to 0, or change the grid"
        )
    patch = config.segmentation.patch
    if patch and any(p > n for p, n in zip(patch, config.grid.shape, strict=True)):
        yield (
            f"segmentation.patch: {list(patch)} is larger than the grid, "
            f"{list(config.grid.shape)}; null uses the whole volume"
        )


def _sizes_that_rivals_do_not_take(config: Config) -> Iterator[str]:
    """Problems of grids that do not fit the networks of the rivals in the arms."""
    for name in config.rivals.names:
        factor = getattr(config.rivals, name).factor
        wrong = [n for n in config.grid.shape if n % factor]
        if name in config.segmentation.words and wrong:
            yield (
                f"rivals.{name}: sides of {', '.join(map(str, wrong))} voxels are no multiple of "
                f"{factor}, which its widths require; use fewer widths, or change the grid"
            )


def _values_that_do_not_fit(config: Config) -> Iterator[str]:
    """Problems of stages whose values do not fit each other."""
    if not config.diffusion.drop and config.synthesis.guidance != 1 and not config.synthesis.model:
        yield (
            f"synthesis.guidance = {config.synthesis.guidance:g} needs a null condition, which is "
            f"not trained with diffusion.drop = 0; use guidance 1, or a drop of 0.1"
        )
    if config.synthesis.shares == "uniform" and config.cohort.label_scheme == "whole_tumour":
        yield (
            "synthesis.shares: labels of the scheme whole_tumour have no shares of core and "
            "enhancing tumour; set it to training"
        )
    if config.preprocess.reference not in ("auto", *config.modalities):
        yield (
            f"preprocess.reference: '{config.preprocess.reference}' is none of the modalities "
            f"{', '.join(config.modalities)}"
        )


def _patients_that_do_not_fit(config: Config) -> Iterator[str]:
    """Problems of cohorts that do not fit the splits and labels."""
    cohort = config.cohort
    if cohort.label_scheme == "whole_tumour" and config.labels == "subregions":
        yield (
            "labels: subregions do not exist in labels of the scheme whole_tumour; "
            "set labels: whole_tumour"
        )
    needed, count = cohort.splits.patients_needed, cohort.phantom.patients
    if cohort.made and count is not None and count < needed:
        yield (
            f"cohort.phantom.patients = {count}: the splits need {needed} "
            f"({cohort.splits.needs}); increase it, or lower {cohort.splits.lower}"
        )
    if cohort.source == "phantom_on_grid" and cohort.phantom_count > MOST_ON_GRID:
        yield (
            f"cohort: a prior has at most {MOST_ON_GRID} phantoms, since later ones are held out; "
            f"{cohort.phantom_count} are too many"
        )


def _priors_that_do_not_fit(config: Config) -> Iterator[str]:
    """Problems of priors with other networks or patients than this run's."""
    if config.diffusion.prior not in ("none", config.autoencoder.prior):
        yield (
            f"diffusion.prior = {config.diffusion.prior}: a denoiser needs the autoencoder on "
            f"whose latents it was trained, but autoencoder.prior is {config.autoencoder.prior}; "
            f"set both to the same prior, or diffusion.prior to none"
        )
    run = {"modalities": config.modalities, "labels": config.labels}
    run["grid"] = config.grid.model_dump(mode="json")
    networks = {
        "autoencoder": (SliceNetworkSettings, AutoencoderConfig),
        "diffusion": (DenoiserSettings, DiffusionConfig),
    }
    for stage, (kind, config_kind) in networks.items():
        section = getattr(config, stage)
        if section.prior == "none":
            continue
        files = (f"{stage}/config.json", f"{stage}/weights.safetensors")
        path, weights = (prior_file(section.prior, file) for file in files)
        if absent := [str(file) for file in (path, weights) if not file.is_file()]:
            yield f"{stage}.prior = {section.prior}: is no model folder, {absent[0]} does not exist"
            continue
        folder = path.parent.parent
        if (folder / CHECKSUMS).is_file():
            try:
                check_files(folder, files)
            except UserError as error:
                yield f"{stage}.prior = {section.prior}: {error}"
                continue
        try:
            known = read_json(path)
            check_values(known, config_kind, path)
        except UserError as error:
            yield f"{stage}.prior = {section.prior}: {error}"
            continue
        wanted = {key: value for key, value in run.items() if key in known}
        wanted |= {f"{stage}.{key}": value for key, value in section.part(kind).items()}
        known |= {f"{stage}.{key}": value for key, value in known.get("settings", {}).items()}
        other = [f"{k} {known.get(k)}, here {v}" for k, v in wanted.items() if known.get(k) != v]
        if other:
            yield (
                f"{stage}.prior = {section.prior} has other values: {'; '.join(other)}. Use the "
                f"same values, train a prior for these (config/prior.yaml), or train without one "
                f"(config/scratch.yaml)"
            )


def _phantoms_without_a_prior(config: Config) -> Iterator[str]:
    """Problems of arms with phantoms if no prior defines the phantoms."""
    described = prior_file(config.diffusion.prior, "phantom.json")
    if "phantoms" in config.segmentation.words and not (described and described.is_file()):
        yield (
            "segmentation.arms: an arm with phantoms needs the phantoms of a prior "
            f"(phantom.json in its folder), and diffusion.prior is {config.diffusion.prior}"
        )


def _opponents_that_do_not_fit(config: Config) -> Iterator[str]:
    """Problems of an opponent that is not an arm of the run."""
    opponent, arms = config.evaluation.opponent, config.segmentation.arms
    known = [arm for arm in arms if not words_of(arm) & set(GENERATED)]
    if opponent != "validation" and opponent not in known:
        yield (
            f"evaluation.opponent = {opponent}: use one of segmentation.arms without synthetic "
            f"patients ({', '.join(known) or 'there is none'}), or validation"
        )


def _files_that_the_sampler_lacks(config: Config) -> Iterator[str]:
    """Problems of the model whose sampling settings are chosen."""
    sampler = config.bench.sampler
    if not sampler.guidance:
        return
    if sampler.model == "none":
        yield "bench.sampler.model = none: name a model folder, or embedded"
        return
    phantom = prior_file(sampler.model, "phantom.json")
    try:
        check_model_folder(phantom.parent)
    except UserError as error:
        yield f"bench.sampler.model: {error}"
        return
    if not phantom.is_file():
        yield (
            f"bench.sampler.model: {phantom} does not exist; name the folder of a prior, which "
            f"has the settings of its phantoms, or copy this file from one"
        )


def _training_patients_that_synthesis_lacks(config: Config) -> Iterator[str]:
    """Problems of synthesis that needs training patients which a model folder lacks."""
    if config.synthesis.anatomy == "patients" and config.diffusion.anatomy == "none":
        yield (
            "synthesis.anatomy = patients: the denoiser takes no anatomy "
            "(diffusion.anatomy: none); use phantom, which then has no effect"
        )
    if not config.synthesis.model:
        return
    if config.synthesis.anatomy == "patients":
        yield (
            "synthesis.anatomy = patients: a model folder (synthesis.model) contains no training "
            "patients; use phantom"
        )
    if "implanted" in config.segmentation.words:
        yield (
            "segmentation.arms: an arm with implanted needs the training patients' latents, "
            "which a model folder (synthesis.model) does not contain"
        )


def _files_that_synthesis_lacks(config: Config) -> Iterator[str]:
    """Problems of the model and the table of requests of synthesis."""
    try:
        if folder := config.synthesis.model:
            check_model_folder(folder)
        if file := config.synthesis.requests:
            # Imported only if needed: the packages that measure tumours are slow to import.
            from workflow_scripts.synthesis.request_table import check_own_requests

            if not Path(file).is_file():
                raise UserError(f"{file} is not a file; name a table of requests")
            check_own_requests(read_table(file))
    except UserError as error:
        yield f"synthesis: {error}"


def _section(path: Iterable[str]) -> type[BaseModel] | None:
    """The section at a path of keys, also if null may replace it; ``None`` if there is none."""
    section: type[BaseModel] | None = Config
    for key in path:
        field = section.model_fields.get(key) if section else None
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        sections = (k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel))
        section = next(sections, None)
    return section


def _explain(error: dict) -> str:
    if not error["loc"]:
        return error["msg"].removeprefix("Value error, ")
    *parents, key = error["loc"]
    name = ".".join(str(part) for part in (*parents, key))
    if error["type"] == "missing":
        return f"{name} is missing"
    if error["input"] == "null":
        return f"{name}: null is text on the command line; set it in a file of --configfile"
    if error["type"] in ("model_type", "model_attributes_type"):
        value = f" = {_shown(error['input'])}" if isinstance(error["input"], str) else ""
        return f"{name}{value}: is a section; give its keys, {{key: value}}, or omit it"
    if error["type"] != "extra_forbidden":
        value = "" if isinstance(error["input"], dict) else f" = {_shown(error['input'])}"
        return f"{name}{value}: {error['msg'].removeprefix('Value error, ')}"
    section = _section(tuple(parents))
    known = list(section.model_fields) if section else []
    near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.4)
    hint = f"did you mean {'.'.join([*map(str, parents), near[0]])}?" if near else ""
    return f"unknown key {name}; " + (hint or f"known here: {', '.join(known)}")


def _shown(value: Any) -> str:
    """A value as text, shortened to fit a line."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} …"


def check(values: dict) -> Config:
    """Convert the values that Snakemake merged to a typed configuration.

    Raises ``UserError`` with one line for each wrong key, which suggests the closest valid one.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = [_explain(dict(e)) for e in error.errors()]
        raise UserError("configuration: " + "; ".join(lines)) from None


def read_config(*files: str | Path, changes: dict | None = None) -> Config:
    """The configuration from YAML files, each overriding the ones before it, as merged by
    Snakemake, and from ``changes`` of the command line.

    Raises ``UserError`` for a file that cannot be read, and for everything that ``check`` refuses.
    """
    values: dict = {}
    for file in files:
        _update(values, read_yaml(file))
    _update(values, changes or {})
    return check(values)


def _update(values: dict, changes: dict) -> None:
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(name), dict):
            _update(values[name], value)
        else:
            values[name] = value


def schema_text() -> str:
    """The JSON schema of the configuration, for completion and checks in editors."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"


def with_comments(text: str) -> str:
    """The text of ``config.yaml`` with the description of each key as its comment.

    Values, blank lines and comments at the start of a line stay as they are; all other comments are
    replaced. Each section is indented by two more spaces than the one around it.
    """
    lines: list[str] = []
    path: list[str] = []
    for line in text.splitlines():
        if re.match(r" +#", line):
            continue  # an old comment goes on here
        if key := re.match(r"( *)(\w+):", line):
            depth = len(key[1]) // 2
            path[depth:] = [key[2]]
            lines += _commented(line.partition(" #")[0].rstrip(), _description(path))
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _description(path: list[str]) -> str:
    """Description of the key at a path; empty if it has none, or if there is no such key."""
    section = _section(path[:-1])
    field = section.model_fields.get(path[-1]) if section else None
    return (field and field.description) or ""


def _commented(line: str, description: str) -> list[str]:
    """A key and its value with a comment, which continues on further lines if it is long."""
    column = max(COMMENT_COLUMN, len(line) + 1)
    heads = {"initial_indent": f"{line:<{column}}# ", "subsequent_indent": " " * column + "# "}
    return textwrap.wrap(description, LINE_LENGTH, break_on_hyphens=False, **heads) or [line]


def main() -> None:
    SCHEMA.write_text(schema_text())
    text = DEFAULTS.read_text(encoding="utf-8")
    commented = with_comments(text)
    if yaml.safe_load(commented) != yaml.safe_load(text):
        sys.exit(f"{DEFAULTS}: quotes hold ' #', which is taken for a comment; reword the value")
    DEFAULTS.write_text(commented, encoding="utf-8")


if __name__ == "__main__":
    main()
