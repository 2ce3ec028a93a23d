"""What the rules share: parameters, fingerprints of code, and input functions."""


def settings(section: str) -> dict:
    """A section of the configuration, as a parameter of a rule."""
    return getattr(CONFIG, section).model_dump(mode="json")


def code(script: str) -> str:
    """Fingerprint of a rule's code, as a parameter: jobs run again when it changes."""
    return fingerprint(script)


def cohort_listing():
    """The file that names the cohort's patients, where there is one."""
    if CONFIG.cohort.source == "table":
        return CONFIG.cohort.table
    if CONFIG.cohort.source == "msd":
        folder = Path(CONFIG.cohort.root).expanduser()
        nested = folder / "Task01_BrainTumour" / "dataset.json"
        return str(nested if nested.is_file() else folder / "dataset.json")
    return []


def cached_table(path):
    """Rows of a checkpoint's table, read once for each version of the file."""
    key = (str(path), os.stat(path).st_mtime_ns)
    if key not in TABLES:
        TABLES[key] = read_table(path)
    return TABLES[key]


def participant(patient):
    """The row of a patient: its files, label scheme and tumour volume."""
    table = cached_table(checkpoints.list_participants.get().output.participants)
    rows = table[table["patient_id"] == patient]
    if rows.empty:
        raise WorkflowError(f"no patient '{patient}' in the cohort")
    return rows.iloc[0].to_dict()


def raw_files(wildcards):
    """Input function: a patient's files, by modality, label and (where given) brain mask."""
    row = participant(wildcards.patient)
    names = [*CONFIG.modalities, "label", *(["brain_mask"] if row["brain_mask"] else [])]
    return {name: row[name].partition("#")[0] for name in names}


def patients_of(split, role):
    """Names of a split's patients of a role: train, validation or test."""
    table = cached_table(checkpoints.draw_splits.get().output.splits)
    rows = table[(table["split"] == split) & (table["role"] == role)]
    if rows.empty:
        raise WorkflowError(f"no split '{split}'; there are {', '.join(SPLITS)}")
    return rows["patient_id"].tolist()


def preprocessed(role):
    """Input function: the preprocessed images of a split's patients of a role."""

    def files(wildcards):
        patients = patients_of(wildcards.split, role)
        return expand(f"{RESULTS}/preprocess/{{patient}}/image.npy", patient=patients)

    return files


def held_out(wildcards):
    """Input function: images of the patients that no model of this split was fitted to."""
    return preprocessed("validation")(wildcards) + preprocessed("test")(wildcards)


def synthetic_patients(wildcards):
    """Input function: the split's synthetic patients, where the arm trains on them."""
    if "synthetic" in wildcards.arm.split("+"):
        return expand(rules.synthesise_patients.output.patients, split=wildcards.split)
    return []


def test_images(wildcards):
    """Input function: images of the test patients, who are the same in every split."""
    patients = patients_of(SPLITS[0], "test")
    return expand(f"{RESULTS}/preprocess/{{patient}}/image.npy", patient=patients)
