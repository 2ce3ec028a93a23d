"""What nnU-Net is given and asked, by commands that stand in for its own."""

import json
import logging
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from tests.fakes import Named
from workflow_scripts.common.files import UserError, write_json
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.nifti import load_volume
from workflow_scripts.common.patients import Patient, save_patient
from workflow_scripts.export.exported_patients import SYNTHETIC, Case
from workflow_scripts.export.nnunet import write_nnunet
from workflow_scripts.nnunet import predict_nnunet, train_nnunet
from workflow_scripts.nnunet.commands import command_path

AFFINE = Grid((32, 32, 24), (5.0, 5.0, 6.0)).affine
MODALITIES = ["flair", "t1ce"]
ROLES = ["train", "validation", "test", SYNTHETIC]
COMMANDS = [
    f"nnUNetv2_{name}"
    for name in (
        "extract_fingerprint",
        "plan_experiment",
        "move_plans_between_datasets",
        "preprocess",
        "train",
        "predict_from_modelfolder",
    )
]
FAKE = """#!{python}
import json, os, shutil, sys
from pathlib import Path
command, words = Path(sys.argv[0]).name, sys.argv[1:]
with open({calls!r}, "a") as calls:
    calls.write(" ".join([command, *words]) + "\\n")
if "PYTHONPATH" in os.environ:
    sys.exit("another environment's modules")
if command == "nnUNetv2_extract_fingerprint":
    for number in filter(str.isdigit, words[1:-2]):
        raw = next(Path(os.environ["nnUNet_raw"]).glob(f"Dataset{{number}}_*"))
        Path(os.environ["nnUNet_preprocessed"], raw.name).mkdir(parents=True)
if command == "nnUNetv2_train":
    if Path({broken!r}).exists():
        print("RuntimeError: no memory")
        sys.exit(3)
    home = next(Path(os.environ["nnUNet_preprocessed"]).glob(f"Dataset{{words[0]}}_*"))
    fold = Path(os.environ["nnUNet_results"], home.name, "trainer", "fold_0")
    fold.mkdir(parents=True)
    shutil.copy(home / "splits_final.json", fold)
    (fold / "debug.json").write_text(json.dumps({{"num_epochs": "3"}}))
    for epoch in range(3):
        print(f"2026-11-27 12:00:00: Epoch {{epoch}} ", flush=True)
if command == "nnUNetv2_predict_from_modelfolder":
    labels = Path(words[words.index("-i") + 1]).parent / "labelsTs"
    shutil.copytree(labels, words[words.index("-o") + 1])
"""


@pytest.fixture
def run(tmp_path, patients):
    """Runs the two scripts on four exported patients, one of each role; ``run.calls()`` are the
    commands that were called."""
    commands, raw = tmp_path / "bin", tmp_path / "datasets" / "nnUNet_raw"
    cases = []
    for source, role in zip(map(Patient, patients), ROLES, strict=True):
        cases.append(Case(tmp_path / "preprocess" / source.patient_id, role))
        volumes = (source.image(), source.label(), source.brain())
        save_patient(cases[-1].folder, *volumes, AFFINE, MODALITIES)
    write_nnunet(raw, cases, MODALITIES, "whole_tumour")
    commands.mkdir()
    calls, broken = tmp_path / "calls", tmp_path / "broken"
    for command in COMMANDS:
        text = FAKE.format(python=sys.executable, calls=str(calls), broken=str(broken))
        (commands / command).write_text(text)
        (commands / command).chmod(0o755)
    splits = tmp_path / "splits.tsv"
    rows = [f"n1-s0\t{case.name}\t{case.role}" for case in cases[:3]]
    # In another split the patient that trains here validates.
    rows.append(f"n1-s1\t{cases[0].name}\tvalidation")
    splits.write_text("\n".join(["split\tpatient_id\trole", *rows]) + "\n")

    def train(arm: str) -> Path:
        model = tmp_path / arm / "model"
        snakemake = Named(
            wildcards=Named(split="n1-s0"),
            threads=2,
            input=Named(datasets=str(raw.parent), splits=str(splits)),
            output=Named(model=str(model)),
            log=[str(tmp_path / "job.log")],
            params=Named(
                commands=str(commands),
                arm=arm,
                trainer="nnUNetTrainer",
                configuration="3d_fullres",
                checkpoints=str(tmp_path / "checkpoints"),
            ),
        )
        train_nnunet.main(snakemake)
        return model

    def predict(model: Path, patient: Path) -> Path:
        folder = tmp_path / "predictions"
        snakemake = Named(
            threads=2,
            input=Named(datasets=raw.parent, model=model, images=[str(patient / "image.npy")]),
            output=Named(predictions=str(folder)),
            log=[str(tmp_path / "job.log")],
            params=Named(commands=str(commands)),
        )
        predict_nnunet.main(snakemake)
        return folder / patient.name

    said = lambda: calls.read_text().splitlines()  # noqa: E731
    tested = cases[2].folder
    return Named(
        train=train, predict=predict, calls=said, broken=broken, folder=tmp_path, tested=tested
    )


@pytest.mark.parametrize("arm", ["real+classical", "real+classical+synthetic"])
def test_validation_patients_validate_and_synthetic_ones_train(run, patients, arm, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    (fold,) = json.loads((run.train(arm) / "fold_0" / "splits_final.json").read_text())
    learned = [0, 3] if arm.endswith("synthetic") else [0]
    assert fold["train"] == [patients[i].name for i in learned]
    assert fold["val"] == [patients[1].name]


def test_one_arm_does_not_go_on_from_what_the_other_left(run):
    models = [run.train(arm) for arm in ("real+classical", "real+classical+synthetic")]
    sizes = [
        len(json.loads((m / "fold_0/splits_final.json").read_text())[0]["train"]) for m in models
    ]
    assert sizes == [1, 2]


def test_both_arms_train_by_the_plan_of_the_real_patients(run):
    run.train("real+classical+synthetic")
    planning = [call for call in run.calls() if "plan" in call.split()[0]]
    assert planning == [
        "nnUNetv2_plan_experiment -d 501 503",
        "nnUNetv2_move_plans_between_datasets -s 501 -t 503 -sp nnUNetPlans -tp nnUNetPlans",
    ]
    assert any(call.startswith("nnUNetv2_train 503 3d_fullres 0 ") for call in run.calls())


def test_a_failed_training_is_told_in_one_line_and_goes_on(run, caplog):
    run.broken.touch()
    with pytest.raises(UserError, match=r"status 3: .*RuntimeError: no memory.*job\.log"):
        run.train("real+classical")
    assert "RuntimeError: no memory" in (run.folder / "job.log").read_text()
    run.broken.unlink()
    caplog.set_level(logging.INFO)
    assert (run.train("real+classical") / "fold_0").is_dir()
    # What was planned and preprocessed before the failure is not done again.
    assert [c.split()[0] for c in run.calls()].count("nnUNetv2_preprocess") == 1
    assert run.calls()[-1].split()[-1] == "--c"


def test_predictions_lie_in_template_and_native_space(run):
    label, affine = load_volume(run.tested / "label.nii.gz")
    sitk.WriteTransform(sitk.AffineTransform(3), str(run.tested / "to_template.tfm"))
    native = {"file": "x", "shape": label.shape, "affine": affine.tolist()}
    write_json(native, run.tested / "native.json")
    folder = run.predict(run.train("real+classical"), run.tested)
    for name in ("label.nii.gz", "label_native.nii.gz"):
        found, found_affine = load_volume(folder / name)
        assert ((found > 0) == (label > 0)).all() and (found_affine == affine).all()


def test_epochs_are_counted_with_the_time_that_is_left(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    epochs = train_nnunet.Epochs(tmp_path)
    epochs("Epoch 0")  # of another nnU-Net, which does not say how many there are
    debug = tmp_path / "Dataset501_SBLDMReal" / "trainer" / "fold_0" / "debug.json"
    write_json({"num_epochs": "40"}, debug)
    epochs("2026-11-27 12:00:00: Epoch 0 ")
    epochs.progress.every = 0
    for line in ("Epoch time: 9.91 s", "2026-11-27 12:00:10: Epoch 10 "):
        epochs(line)
    (said,) = caplog.messages
    assert said.startswith("10 of 40 epochs, ") and said.endswith(" left")


def test_without_nnunet_the_message_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"not in nnunet\.commands.*install nnU-Net.*--config"):
        command_path("nnUNetv2_train", str(tmp_path))
