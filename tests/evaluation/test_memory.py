"""The check for copies: planted copies are seen, patients that nothing was learned from are not."""

from functools import partial
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import ndimage

from workflow_scripts.autoencoder.augment import augment_patient
from workflow_scripts.autoencoder.settings import AutoencoderSection
from workflow_scripts.bench import plant_copies
from workflow_scripts.common.files import read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.masks import dice
from workflow_scripts.common.patients import save_patient
from workflow_scripts.common.stored import StoredRows, pack_mask, unpack_mask
from workflow_scripts.evaluation import collect_memory, evaluate_memory, memory

GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))
TRAINING, COPIES, HELD_OUT, MADE = 4, 6, 8, 12


class PooledCodec:
    """Latents that are the image's means of two by two voxels, and the label's four voxels."""

    grid = GRID

    def encode(self, image, label):
        m, x, y, z = image.shape
        means = image.reshape(m, x // 2, 2, y // 2, 2, z).mean((2, 4))
        label = (label > 0).reshape(x // 2, 2, y // 2, 2, z).transpose(1, 3, 0, 2, 4)
        return np.concatenate([means, label.reshape(4, x // 2, y // 2, z)]).astype(np.float32)

    def decode(self, latent):
        image, label = latent[:-4].repeat(2, 1).repeat(2, 2), latent[-4:]
        _, x, y, z = label.shape
        label = label.reshape(2, 2, x, y, z).transpose(2, 0, 3, 1, 4).reshape(2 * x, 2 * y, z)
        return image, label.astype(np.uint8), image[0] > 0.1


CODEC = PooledCodec()


def volume(name: int):
    """Image (2, X, Y, Z), label and brain (X, Y, Z) of a patient: smooth tissue of its own and a
    bright ball."""
    rng = np.random.default_rng([7, name])
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in GRID.shape), indexing="ij"), -1)
    mm = GRID.to_mm(voxels) - [0, -18, 8]
    brain = (mm**2 / np.array([60.0, 70, 55]) ** 2).sum(-1) < 1
    label = np.linalg.norm(mm - rng.uniform(-25, 25, 3), axis=-1) < rng.uniform(14, 22)
    tissue = ndimage.gaussian_filter(rng.normal(size=(2, *GRID.shape)), (0, 3, 3, 3))
    image = 0.4 + 2 * tissue + 0.3 * label
    return (image * brain).clip(0, 1).astype(np.float32), label.astype(np.uint8), brain


@pytest.fixture(scope="module")
def warp():
    with open("config.yaml", encoding="utf-8") as file:
        return AutoencoderSection.model_validate(yaml.safe_load(file)["autoencoder"]).warp


@pytest.fixture(scope="module")
def trained(warp, tmp_path_factory):
    """Four patients with six warped copies each."""
    folder = tmp_path_factory.mktemp("trained")
    latents, tumours, items = [], [], []
    for name in range(TRAINING):
        image, label, brain = volume(name)
        for copy in range(COPIES + 1):
            made = image, label
            if copy:
                rng = np.random.default_rng([name, copy])
                made = augment_patient(image, label, image[:0], GRID, warp, rng)[:2]
            latents.append(CODEC.encode(*made).astype(np.float16))
            tumours.append(pack_mask(made[1] > 0))
            items.append({"patient_id": f"t{name}", "copy": copy})
    np.save(folder / "latents.npy", np.stack(latents))
    np.save(folder / "tumours.npy", np.stack(tumours))
    stored = (StoredRows(folder / f"{name}.npy") for name in ("latents", "tumours"))
    return memory.Trained(*stored, pd.DataFrame(items), brain)


def unseen(name: int, tumour_of: int | None = None):
    """A patient that nothing was learned from, decoded and encoded; with another's tumour."""
    image, label, _ = volume(name)
    if tumour_of is not None:
        image = image - 0.3 * label
        _, label, brain = volume(tumour_of)
        image = ((image + 0.3 * label) * brain).clip(0, 1)
    made, made_label, _ = CODEC.decode(CODEC.encode(image, label))
    return memory.encoded(f"p{name}", made, made_label, CODEC)


@pytest.fixture(scope="module")
def groups(trained):
    """Synthetic patients of a generator that copies nothing, held-out ones, planted copies."""
    return {
        "synthetic": [partial(unseen, 200 + k) for k in range(MADE)],
        "held-out": [partial(unseen, 100 + k) for k in range(HELD_OUT)],
        "planted": [
            partial(memory.encode_item, trained, k, CODEC) for k in range(0, len(trained.items), 5)
        ],
    }


@pytest.fixture(scope="module")
def said(trained, groups, warp):
    """What is said of each planted generator."""
    copying = plant_copies.copiers(trained, CODEC, warp)
    return plant_copies.truths(groups, copying, trained).set_index("generator")


def test_nothing_is_said_of_patients_that_were_not_trained_on(said):
    for name in ("the run's", "held-out, first half", "held-out, second half"):
        assert said.loc[name, "verdict"] == "no copies seen", name
        assert said.loc[name, "copies"] == 0


@pytest.mark.parametrize("name", ["copier", "copier, mirrored"])
def test_copiers_are_seen(said, name):
    row = said.loc[name]
    assert row["verdict"] == "copies"
    assert row["copies"] == row["latent_nearer"] == row["synthetic"] == plant_copies.COPIES
    assert row["latent_nearer_p"] < 1e-4


def test_a_near_copier_is_seen(said):
    row = said.loc["copier, 0.25 of the warp"]
    assert row["verdict"] == "copies"
    assert row["copies"] >= 0.75 * plant_copies.COPIES
    assert row["latent_nearer_p"] < 1e-4


def test_copies_among_other_patients_are_counted(said):
    row = said.loc[f"{MADE // 4} copies"]
    assert row["verdict"] == "copies"
    assert row["copies"] == MADE // 4


def test_a_table_says_it_all(said):
    text = plant_copies.text(said.reset_index())
    assert text.count("\n") == len(said) + 2
    assert "copier, mirrored" in text


def test_the_nearest_is_named_with_its_copy(trained):
    index = COPIES + 3  # the second patient's second copy
    image, label, _ = CODEC.decode(trained.latents[index].astype(np.float32))
    asked = [
        partial(memory.encoded, "a", image, label, CODEC),
        partial(memory.encoded, "b", image[:, ::-1], label[::-1], CODEC),
    ]
    table = memory.nearest_items(asked, trained, memory.fit_space(trained))
    assert table.columns.tolist() == memory.COLUMNS
    for kind in memory.KINDS:
        assert table[f"{kind}_patient"].tolist() == ["t1", "t1"]
        assert table[f"{kind}_copy"].tolist() == [2, 2]
        assert table[f"{kind}_mirrored"].tolist() == [False, True]
        assert table[f"{kind}_distance"].tolist() == pytest.approx([0, 0], abs=1e-3)


def test_the_distance_is_that_of_the_formula_without_tumours(trained):
    space, patient = memory.fit_space(trained), unseen(100)
    found = memory.LatentDistance([patient], space)(trained.latents[9], trained.tumour(9))
    # The brain's latent elements that no tumour voxel is in.
    pooled = [m.reshape(16, 2, 16, 2, 24) for m in (*patient.tumours, trained.tumour(9))]
    tumours = [m.any((1, 3)) for m in pooled]
    brain = trained.brain.reshape(16, 2, 16, 2, 24).mean((1, 3)) > 0.5
    latents = np.stack([trained.latents[k] for k in range(len(trained.items))]).astype(float)
    sd = np.sqrt(latents.var(0)[:, brain].mean(1))
    for side in range(2):
        use = brain & ~tumours[side] & ~tumours[2]
        difference = (patient.latents[side] - latents[9])[:, use] / sd[:, None]
        assert found[0, side] == pytest.approx(np.sqrt((difference**2).mean()), rel=1e-4)


@pytest.mark.parametrize("side", [24, 80])
def test_the_mask_distance_is_one_less_dice(side):
    rng = np.random.default_rng(0)
    masks = ndimage.gaussian_filter(rng.random((3, side, 20, 20)), (0, 3, 3, 3)) > 0.5
    patients = [memory.Encoded("p", np.zeros(1), np.stack([m, m[::-1]])) for m in masks[:2]]
    found = memory.MaskDistance(patients)(masks[2])
    every = 1 if side <= memory.LONGEST else 2
    part = (slice(None, None, every),) * 3
    for patient, row in zip(patients, found, strict=True):
        for mask, distance in zip(patient.tumours, row, strict=True):
            assert distance == pytest.approx(1 - dice(mask[part], masks[2][part]))


def test_patients_compared_a_few_at_a_time_give_the_same(trained, groups, monkeypatch):
    space = memory.fit_space(trained)
    at_once = memory.nearest_items(groups["held-out"][:5], trained, space)
    monkeypatch.setattr(memory, "AT_ONCE", 2)
    in_parts = memory.nearest_items(groups["held-out"][:5], trained, space)
    pd.testing.assert_frame_equal(at_once, in_parts, rtol=1e-5)


def test_a_training_tumour_in_another_brain_is_no_copy_but_is_told(trained, groups):
    near = {n: memory.nearest_items(p, trained, memory.fit_space(trained))
            for n, p in groups.items() if n != "synthetic"}  # fmt: skip
    asked = [partial(unseen, 300 + k, tumour_of=k % TRAINING) for k in range(8)]
    made = memory.nearest_items(asked, trained, memory.fit_space(trained))
    row = plant_copies.verdict_on(made, near["held-out"], near["planted"])
    assert row["verdict"] == "no copies seen"
    assert row["same_tumours"] == row["mask_nearer"] == 8
    text = memory.memory_text(pd.DataFrame([{"split": "n4-s0", **row}]))
    assert "**no copies seen**" in text.splitlines()[0]
    assert "8 of 8" in text.splitlines()[2]


@pytest.mark.parametrize("held_out", [3, 10, 40])
def test_false_alarms_are_as_rare_as_promised(held_out):
    rng = np.random.default_rng(0)
    runs, draws = 1000, 24
    alarms = 0
    for _ in range(runs):
        distances = np.exp(rng.normal(-0.3, 0.06, held_out + draws))
        alarms += (distances[held_out:] < memory.copy_limit(distances[:held_out], draws)).any()
    # Two standard errors above.
    assert alarms / runs <= memory.ALPHA + 2 * np.sqrt(memory.ALPHA / runs)


def test_a_copy_is_far_nearer_than_usual_whatever_the_spread():
    same = 0.7 + 1e-4 * np.arange(5)
    assert memory.copy_limit(same, 24) == pytest.approx(0.8 * np.median(same))
    assert np.isnan(memory.copy_limit(same[:2], 24))


def test_the_chance_of_so_many_nearer_ones_is_that_of_all_orders():
    synthetic, held_out = 4, 3
    orders = list(combinations(range(synthetic + held_out), held_out))
    for nearer in range(synthetic + 1):
        share = np.mean([min(places) >= nearer for places in orders])
        assert memory.nearer_p(nearer, synthetic, held_out) == pytest.approx(share)


def rows(made, held_out, planted):
    """Rows with these latent distances."""
    groups = {"synthetic": made, "held-out": held_out, "planted": planted}
    parts = [
        pd.DataFrame({"latent_distance": distances, "mask_distance": 0.5, "group": name})
        for name, distances in groups.items()
    ]
    return memory.flagged(pd.concat(parts, ignore_index=True))


USUAL = [0.68, 0.7, 0.72, 0.71, 0.69]


@pytest.mark.parametrize(
    ("made", "held_out", "planted", "verdict", "reason"),
    [
        ([0.7, 0.72], USUAL, [0.1], "no copies seen", ""),
        ([0.7, 0.15], USUAL, [0.1], "copies", ""),
        ([], USUAL, [0.1], "not decided", "no synthetic patient"),
        ([0.7], USUAL[:2], [0.1], "not decided", "2 held-out patients are too few"),
        ([0.7], [0.1, 0.4, 0.7], [0.1], "not decided", "planted copies are not detected"),
        ([0.66] * 20, USUAL, [0.1], "not decided", "none is a copy, but too many"),
    ],
)
def test_verdicts(made, held_out, planted, verdict, reason):
    row = memory.judge(rows(made, held_out, planted))
    assert row["verdict"] == verdict
    assert reason in row["reason"]
    text = memory.memory_text(pd.DataFrame([row]))
    assert f"**{verdict}**" in text.splitlines()[0]
    assert reason in text


def test_the_gravest_of_several_splits_comes_first():
    tables = rows([0.7], USUAL, [0.1]), rows([0.1], USUAL, [0.1]), rows([0.71], USUAL, [0.1])
    text = memory.memory_text(pd.DataFrame([memory.judge(table) for table in tables]))
    assert "**copies** in 1 of 3 splits, **no copies seen** in 2 of 3 splits" in text
    assert "1 of 3 synthetic patients are copies" in text


def job(inputs, **outputs):
    params = SimpleNamespace(splits=["n4-s0"])
    wildcards = SimpleNamespace(split="n4-s0")
    return SimpleNamespace(input=SimpleNamespace(**inputs), output=SimpleNamespace(**outputs),
                           params=params, wildcards=wildcards, threads=1)  # fmt: skip


def made(folder, *names, anatomy="phantom"):
    """The table of synthetic patients."""
    write_table(pd.DataFrame({"patient_id": names, "anatomy": anatomy}), folder / "made.tsv")
    return folder / "made.tsv"


def test_a_model_folder_without_latents_is_not_known(tmp_path):
    image, label, brain = volume(0)
    save_patient(tmp_path / "patients" / "0017", image, label, brain, GRID.affine)
    one, all_splits = tmp_path / "n4-s0.csv", tmp_path / "memory.csv"
    given = {"latents": [], "synthetic": tmp_path / "patients", "made": made(tmp_path, "0017")}
    evaluate_memory.main(job(given, table=one))
    assert read_table(one)["patient_id"].tolist() == ["0017"]
    collect_memory.main(job({"tables": [one]}, table=all_splits))
    table = read_table(all_splits)
    assert table["verdict"].tolist() == ["not known"]
    assert "has no training latents" in memory.memory_text(table)


def test_the_rule_compares_all_groups(trained, tmp_path, monkeypatch):
    """From folders to the verdict, as a run does."""
    for name, first, count in (("made", 200, 3), ("held-out", 100, 5)):
        for k in range(first, first + count):
            image, label, brain = volume(k)
            save_patient(tmp_path / name / f"p{k}", image, label, brain, GRID.affine)
    monkeypatch.setattr(evaluate_memory, "load_trained", lambda *files: trained)
    monkeypatch.setattr(evaluate_memory.Codec, "load", lambda folder: CODEC)
    files = dict.fromkeys(("latents", "tumours", "attributes", "brain", "autoencoder"), "a/file")
    files |= {"synthetic": tmp_path / "made", "held_out": tmp_path / "held-out"}
    one, all_splits = tmp_path / "n4-s0.csv", tmp_path / "memory.csv"
    files["made"] = made(tmp_path, "p200", "p201", "p202")
    evaluate_memory.main(job(files, table=one))
    table = read_table(one)
    assert table["group"].value_counts().to_dict() == {
        "planted": memory.PLANTED, "held-out": 5, "synthetic": 3,
    }  # fmt: skip
    assert table.loc[table["group"] == "planted", "is_copy"].all()
    collect_memory.main(job({"tables": [one]}, table=all_splits))
    text = memory.memory_text(read_table(all_splits))
    assert text.startswith("- Copies of training patients: **no copies seen**. 0 of 3 ")
    assert text.count("\n- ") == 2
    files["made"] = made(tmp_path, "p200", "p201", "p202", anatomy="training:t1/0")
    evaluate_memory.main(job(files, table=one))
    collect_memory.main(job({"tables": [one]}, table=all_splits))
    assert read_table(all_splits)["verdict"].tolist() == ["derived by design"]


def test_packed_masks_are_unpacked_as_they_were():
    mask = np.random.default_rng(0).random((5, 3, 7)) < 0.4
    assert np.array_equal(unpack_mask(pack_mask(mask), mask.shape), mask)


def test_patients_with_a_training_patient_s_brain_are_derived_by_design_unless_in_their_tumours():
    table = rows([0.2, 0.2, 0.9], [0.9, 1.0, 1.1], [0.01] * 8)
    assert memory.judge(table)["verdict"] == "copies"
    made = table["group"] == "synthetic"
    derived = table.assign(derived=made, same_tumour=False)
    found = memory.judge(derived)
    assert (found["verdict"], found["reason"]) == ("derived by design", "")
    assert "**derived by design**" in memory.memory_text(
        pd.DataFrame([{"split": "n4-s0", **found}])
    )
    derived.loc[made.idxmax(), "same_tumour"] = True
    found = memory.judge(derived)
    assert (found["verdict"], found["reason"]) == ("copies", "of tumours")
