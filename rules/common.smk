"""Shared by the rules: parameters, fingerprints of code, and input functions."""

import math

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.nifti import split_index
from workflow_scripts.common.prior import EMBEDDED, fitting_autoencoder, prior_file
from workflow_scripts.nnunet.commands import command_path
from workflow_scripts.synthesis.folder import COPIES, STAGES

# The network for comparing patients' features is no input: in a run at another folder depth its
# relative path would differ, and jobs would run again.
FITTING = fitting_autoencoder(CONFIG.modalities, CONFIG.labels, Grid.from_settings(GRID))
JUDGE = content(FITTING or EMBEDDED / "autoencoder")


def settings(section: str) -> dict:
    """A section of the configuration, as a parameter of a rule."""
    return getattr(CONFIG, section).model_dump(mode="json")


def code(script: str) -> str:
    """Fingerprint of a rule's code, as a parameter: jobs run again when it changes."""
    return fingerprint(script)


def cohort_listing():
    """The file that lists the cohort's patients, if there is one."""
    if CONFIG.cohort.source == "table":
        listing, key = Path(CONFIG.cohort.table), "cohort.table"
    elif CONFIG.cohort.source == "msd":
        folder, key = Path(CONFIG.cohort.root), "cohort.root"
        nested = folder / "Task01_BrainTumour" / "dataset.json"
        listing = nested if nested.is_file() else folder / "dataset.json"
    else:
        return []
    if not listing.is_file():
        sys.exit(f"Error: {key}: {listing} is no file; name one that is")
    return str(listing)


def cached_table(path, index):
    """Rows of a checkpoint's table by a column, read once for each version of the file."""
    key = (str(path), os.stat(path).st_mtime_ns)
    if key not in TABLES:
        TABLES[key] = read_table(path).set_index(index, drop=False)
    return TABLES[key]


def participant(patient):
    """The row of a patient: its files, label scheme and tumour volume."""
    table = cached_table(checkpoints.list_participants.get().output.participants, "patient_id")
    if patient not in table.index:
        raise WorkflowError(f"no patient '{patient}' in the cohort")
    return table.loc[patient].to_dict()


def volumes(row):
    """Columns of a patient's row with files."""
    return [*CONFIG.modalities, "label", *(["brain_mask"] if row["brain_mask"] else [])]


def raw_files(wildcards):
    """Input function: a patient's files by modality, label and (if any) brain mask."""
    row = participant(wildcards.patient)
    return {name: split_index(row[name])[0] for name in volumes(row)}


def _reading(row):
    # The digest of the files' contents: Snakemake itself sees a file only by its time.
    facts = {name: row[name] for name in ("label_scheme", "digest")}
    return {**facts, "geometry": CONFIG.cohort.geometry}


def raw_reading(wildcards):
    """A patient's name, label scheme and digest, what counts where a header's geometry is
    ambiguous, and which volume of a 4-D file is which.

    Where the files lie is no parameter: the same data elsewhere gives the same result.
    """
    row = participant(wildcards.patient)
    parts = {name: split_index(row[name])[1] for name in volumes(row)}
    return {"patient_id": row["patient_id"], **_reading(row), "parts": parts}


def named(pattern, names, suffix=""):
    """Named outputs ``<name><suffix>``; ``*`` in the pattern is the name."""
    return {f"{name}{suffix}": pattern.replace("*", name) for name in names}


def memory(mb, kb_per_voxel=0.0):
    """Memory of a job: megabytes, plus kilobytes per voxel of the grid; times the number of the
    attempt."""
    voxels = math.prod(CONFIG.grid.shape)
    return lambda wildcards, attempt: round(mb + kb_per_voxel * voxels / 1000) * attempt


def patients_of(split, role):
    """Names of a split's patients with a role: train, validation or test."""
    table = cached_table(checkpoints.draw_splits.get().output.splits, "split")
    rows = table[(table["split"] == split) & (table["role"] == role)]
    if rows.empty:
        known = ", ".join(table["split"].unique())
        raise WorkflowError(
            f"{RESULTS}/cohort/splits.tsv: no {role} patients of split '{split}'; its splits are {known}"
        )
    return rows["patient_id"].tolist()


def drawn_labels(wildcards):
    """Input function: the test patients' label files as drawn."""
    return [split_index(participant(p)["label"])[0] for p in patients_of(wildcards.split, "test")]


def label_readings(wildcards):
    """The test patients' label schemes and digests, and which volume of a 4-D file is the label."""
    rows = map(participant, patients_of(wildcards.split, "test"))
    return [{**_reading(row), "parts": {"label": split_index(row["label"])[1]}} for row in rows]


def arrays(patients, names):
    """Files of preprocessed patients by kind: arrays (image, label or brain), or other files by
    their full names."""
    files = [name if "." in name else f"{name}.npy" for name in names]
    return [f"{RESULTS}/preprocess/{p}/{file}" for p in patients for file in files]


def preprocessed(role, *names):
    """Input function: files of a split's patients with a role; by default their images."""
    return lambda wildcards: arrays(patients_of(wildcards.split, role), names or ["image"])


def held_out(*names):
    """Input function: arrays of the patients that no model of this split was trained on."""
    sides = preprocessed("validation", *names), preprocessed("test", *names)
    return lambda wildcards: sides[0](wildcards) + sides[1](wildcards)


def everybody(role, *names, splits=SPLITS):
    """Input function: files of the patients with a role in any split."""

    def files(wildcards):
        patients = {p for split in splits for p in patients_of(split, role)}
        return arrays(sorted(patients), names)

    return files


def synthetic_patients(wildcards):
    """Input function: the split's synthetic patients, phantoms or copies in an arm's training
    set."""
    sources = {
        "synthetic": "synthesise_patients",
        "synthetic_first": "synthesise_patients",
        "implanted": "synthesise_implants",
        "phantoms": "make_arm_phantoms",
        "copies": "make_arm_copies",
        **dict.fromkeys(CONFIG.rivals.names, "sample_rival"),
    }
    folders = []
    for word in wildcards.arm.split("+"):
        if word in sources:
            patients = getattr(rules, sources[word]).output.patients
            folders += expand(patients, split=wildcards.split, rival=word)
    return folders


def prior(stage):
    """Initial weights and configuration of a stage's network, if any."""
    prior = getattr(CONFIG, stage).prior
    files = {"prior": "weights.safetensors", "prior_config": "config.json"}
    return {name: prior_file(prior, f"{stage}/{file}") or [] for name, file in files.items()}


def split_seed(wildcards):
    """Seed of all random numbers for a split: another seed of the split repeats the whole
    method."""
    return CONFIG.seed + int(wildcards.split.split("-s")[1])


def trained(name):
    """A file of the autoencoder stage for synthesis: this run's, or a model folder's."""
    return f"{CONFIG.synthesis.model or AUTOENCODER}/{name}"


def trained_model():
    """Autoencoder, denoiser and brain mask: this run's, or a model folder's."""
    if folder := CONFIG.synthesis.model:
        stages = "autoencoder", "diffusion"
        model = {stage: f"{folder}/{stage}/weights.safetensors" for stage in stages}
        model |= {f"{stage}_config": f"{folder}/{stage}/config.json" for stage in stages}
    else:
        model = {
            "autoencoder": rules.train_autoencoder.output.weights,
            "autoencoder_config": rules.train_autoencoder.output.config,
            "diffusion": rules.train_diffusion.output.weights,
            "diffusion_config": rules.train_diffusion.output.config,
        }
    return {**model, "brain": trained("brain.nii.gz")}


def requested_anatomies():
    """The anatomies in the user's table of requests."""
    if not CONFIG.synthesis.requests:
        return set()
    table = read_table(CONFIG.synthesis.requests)
    return set(table["anatomy"]) if "anatomy" in table else set()


def anatomy_files():
    """The images in the folders of the user's table of requests."""
    folders = sorted(name for name in requested_anatomies() if Path(name).is_dir())
    return sorted(str(file) for folder in folders for file in Path(folder).glob("*.nii*"))


def of_each_patient(name):
    """Input function: one file of each patient; in folds a patient has all three roles, but is
    listed once."""
    by_role = [everybody(role, name) for role in ("train", "validation", "test")]
    return lambda wildcards: sorted({file for files in by_role for file in files(wildcards)})


def training_copies(wanted):
    """The denoiser's training data, as anatomies and backgrounds; empty if not needed, or for a
    model folder, which has none."""
    if not wanted or CONFIG.synthesis.model:
        return dict.fromkeys(COPIES, [])
    return {name: getattr(rules.encode_patients.output, name) for name in COPIES}


def sampler_model(*names):
    """Files of the model to sample: its networks and brain mask, and others by name."""
    files = {stage: f"{stage}/weights.safetensors" for stage in STAGES}
    files |= {f"{stage}_config": f"{stage}/config.json" for stage in STAGES}
    files |= {"brain": "brain.nii.gz", **{name: f"{name}.json" for name in names}}
    return {name: str(prior_file(CONFIG.bench.sampler.model, file)) for name, file in files.items()}


def training_volumes():
    """The denoiser's training data, the autoencoder that encoded it, and held-out patients; empty
    for a model folder, which has none."""
    if CONFIG.synthesis.model:
        return {"latents": []}
    encoded = rules.encode_patients.output
    return {
        "latents": encoded.latents,
        "tumours": encoded.tumours,
        "attributes": encoded.attributes,
        "brain": encoded.brain,
        "autoencoder": rules.train_autoencoder.output.weights,
        "autoencoder_config": rules.train_autoencoder.output.config,
        "held_out": rules.reconstruct_patients.output.patients,
    }


def nnunet_commands(wildcards):
    """Folder of nnU-Net's commands, as a parameter; if they are missing, the run ends before any
    job."""
    try:
        command_path("nnUNetv2_train", CONFIG.nnunet.commands)
    except UserError as error:
        sys.exit(f"Error: {error}")
    return CONFIG.nnunet.commands
