"""Adherence, contrast, collected tables and figures on constructed data."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import ndimage

from tests.fakes import Named
from workflow_scripts.common.files import read_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient, save_patient
from workflow_scripts.common.words import split_words
from workflow_scripts.evaluation import (
    collect_quality,
    collect_reconstruction,
    collect_scores,
    compare_arms,
    draw_figures,
    evaluate_adherence,
    evaluate_contrast,
    plots,
    summarise_segmentation,
    write_summary,
)
from workflow_scripts.evaluation.adherence import (
    DISTANCE,
    MET,
    SMALL,
    UNITS,
    adherence,
    agreement,
    split_adherence,
)
from workflow_scripts.evaluation.tumour_contrast import (
    contrast_rows,
    healthy_spread,
    ratio_of_means,
    steps,
    tumour_step,
)
from workflow_scripts.evaluation.write_summary import draws_text

ROOT = Path(__file__).resolve().parents[2]
GRID = Grid((32, 32, 24), (3.0, 3.0, 3.0))
SPLITS = ["n4-s0", "n4-s1"]
ARMS = ["real", "real+classical", "real+synthetic", "real+classical+synthetic"]
NATIVE_SCORES = [
    *("native_dice", "native_hd95_mm", "native_nsd"),
    *("official_dice", "official_hd95_voxels", "official_nsd"),
    *("lesion_tp", "lesion_fp", "lesion_fn", "lesion_dice", "lesion_hd95_mm", "lesion_nsd"),
]
SETTINGS = {
    **yaml.safe_load((ROOT / "config.yaml").read_text())["evaluation"],
    "permutations": 50,
}


def ball(centre, radius):
    distance = np.ones(GRID.shape)
    distance[tuple(centre)] = 0
    return ndimage.distance_transform_edt(distance) <= radius


SURE = 200, 0.95, 0  # permutations, confidence, seed


def test_adherence_of_a_line():
    requested = np.linspace(1, 10, 40)
    found = adherence(requested, 0.5 * requested + 3, *SURE)
    assert found["slope"] == pytest.approx(0.5) and found["r2"] == pytest.approx(1.0)
    assert found["bias"] == pytest.approx((3 - 0.5 * requested).mean())
    assert found["r2_shuffled"] == pytest.approx(1 / 39, abs=0.01)  # chance: 1 / (n - 1)
    assert found == adherence(requested, 0.5 * requested + 3, *SURE)


def test_r2_is_the_share_of_variance_explained():
    rng = np.random.default_rng(0)
    requested = rng.normal(size=50)
    measured = requested + rng.normal(size=50)
    line = np.polyfit(requested, measured, 1)
    left = (measured - np.polyval(line, requested)).var()
    found = adherence(requested, measured, *SURE)
    assert found["slope"] == pytest.approx(line[0])
    assert found["r2"] == pytest.approx(1 - left / measured.var())


def test_adherence_of_constants():
    assert np.isnan(adherence(np.ones(5), np.arange(5.0), *SURE)["slope"])
    assert adherence(np.arange(5.0), np.ones(5), *SURE)["r2"] == 0.0


def test_the_interval_of_the_bias_and_the_limits_cover_what_they_should():
    rng = np.random.default_rng(0)
    many = rng.normal(0.3, 2.0, (2000, 12))
    found = [agreement(differences, 0.95) for differences in many]
    held = np.mean([row["bias_low"] < 0.3 < row["bias_high"] for row in found])
    assert held == pytest.approx(0.95, abs=0.02)
    wide = agreement(many.ravel(), 0.95)
    inside = (many > wide["limit_low"]) & (many < wide["limit_high"])
    assert inside.mean() == pytest.approx(0.95, abs=0.005)
    assert np.isnan(agreement(np.ones(1), 0.95)["bias_low"])


def asked_for(count, seed=0):
    """A table of requests that are met to the last digit, at the first draw."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"patient_id": [f"s{k}" for k in range(count)], "attempts": 1})
    table["outcome"] = table["first_outcome"] = "met"
    table["requested_volume_ml"] = np.exp(rng.uniform(np.log(3), np.log(100), count))
    for axis in "xyz":
        table[f"requested_centroid_{axis}_mm"] = rng.uniform(-40, 40, count)
    table["requested_sphericity"] = rng.uniform(0.6, 0.95, count)
    table["requested_core_share"] = rng.uniform(0.2, 0.9, count)
    table["requested_enhancing_share"] = 0.5 * table["requested_core_share"]
    for name in UNITS:
        table[f"measured_{name}"] = table[f"first_{name}"] = table[f"requested_{name}"]
    return table


def rows_of(table):
    rows = split_adherence(table, *SURE)
    return {(row["attribute"], row["draw"]): row for row in rows}


def faithful(table, rng):
    """Tumours of the right size, place and shape but for a little noise."""
    for name, unit in UNITS.items():
        if unit == "ratio":
            table[f"first_{name}"] *= np.exp(rng.normal(0, 0.05, len(table)))
        else:
            table[f"first_{name}"] += rng.normal(0, {"mm": 1, "1": 0.01}[unit], len(table))


def shuffled(table, rng):
    """Tumours of the sizes, places and shapes that were asked for, each for another request."""
    order = rng.permutation(len(table))
    for name in UNITS:
        table[f"first_{name}"] = table[f"requested_{name}"].to_numpy()[order]


def constant(table, rng):
    """Always the same tumour."""
    for name in UNITS:
        table[f"first_{name}"] = table[f"requested_{name}"].median()


@pytest.mark.parametrize("ignore", [shuffled, constant])
def test_a_generator_that_ignores_its_requests_is_told_from_a_faithful_one(ignore):
    tables = [asked_for(60) for _ in range(2)]
    for change, table in zip((faithful, ignore), tables, strict=True):
        change(table, np.random.default_rng(1))
    good, bad = map(rows_of, tables)
    for name in ("volume_ml", "sphericity"):
        true, false = good[name, "first"], bad[name, "first"]
        assert true["slope"] == pytest.approx(1, abs=0.1) and true["r2"] > 0.9
        assert abs(false["slope"]) < 0.25 and false["r2"] < 0.05
        widths = [row["limit_high"] - row["limit_low"] for row in (true, false)]
        assert widths[1] > 5 * widths[0]
    assert good["volume_ml", "first"]["limit_low"] > 0.85
    assert bad["volume_ml", "first"]["limit_low"] < 0.25
    for statistic, most in (("median", 3), ("p95", 5)):
        distances = [rows[DISTANCE, "first"][statistic] for rows in (good, bad)]
        assert distances[0] < most and distances[1] > 5 * most


def test_a_bias_of_the_volume_is_a_ratio_whose_interval_excludes_1():
    table = asked_for(40)
    spread = np.exp(np.random.default_rng(0).normal(0, 0.1, 40))
    # The geometric mean of the noise is 1: the planted ratio is what is found.
    spread /= np.exp(np.log(spread).mean())
    table["first_volume_ml"] = 1.12 * spread * table["requested_volume_ml"]
    # Of large tumours alone: all of those from 3 to 10 mL have the size that was asked for.
    small = table["requested_volume_ml"].between(3, 10)
    table.loc[small, "measured_volume_ml"] = 1.5 * table.loc[small, "requested_volume_ml"]
    rows = rows_of(table)
    first = rows["volume_ml", "first"]
    assert first["bias"] == pytest.approx(1.12)
    assert 1 < first["bias_low"] < 1.12 < first["bias_high"] < 1.2
    assert first["limit_low"] < 1 < first["limit_high"]
    kept = rows["volume_ml", "kept"]
    assert kept["median"] == pytest.approx(1.0)
    assert rows[SMALL, "kept"]["median"] == pytest.approx(1.5)
    assert rows[SMALL, "kept"]["n_requests"] == small.sum() < 40
    # R² of raw millilitres would not tell: it is near 1.
    assert first["r2"] > 0.95


def attributes(count=8):
    table = asked_for(count)
    table["attempts"] = [1, 3, *[1] * (count - 2)]
    table["first_outcome"] = ["met", "volume", "place", *["met"] * (count - 3)]
    table["outcome"] = ["met", "met", "place", *["met"] * (count - 3)]
    return table


def test_draws_are_counted():
    table = attributes(8)
    table.loc[6:7, "outcome"] = table.loc[6:7, "first_outcome"] = ["torn", "holes"]
    said = draws_text([table])
    assert "Of 8 requests 4 were met at the first draw and 1 after drawing again" in said
    assert "0 have a tumour volume outside the tolerance, 1 a centroid outside" in said
    assert "1 a torn brain and 1 a label with holes" in said
    shares = [rows_of(table)[MET, draw]["share"] for draw in ("first", "kept")]
    assert shares == [0.5, 0.625]


def test_centroids_are_told_by_their_distance():
    table = attributes()
    table["measured_centroid_x_mm"] += 3.0
    table["measured_centroid_z_mm"] -= 4.0
    rows = rows_of(table)
    assert {name for name, _ in rows} == {*UNITS, SMALL, DISTANCE, MET}
    assert rows[DISTANCE, "kept"]["median"] == rows[DISTANCE, "kept"]["p95"] == 5.0
    assert rows[DISTANCE, "first"]["p95"] == 0.0
    assert rows["centroid_x_mm", "kept"]["slope"] == pytest.approx(1.0)
    assert rows["centroid_x_mm", "kept"]["bias"] == pytest.approx(3.0)
    assert all(row["n_requests"] == 8 for (name, _), row in rows.items() if name != SMALL)


def test_shares_count_where_they_are_asked_for():
    table = asked_for(10)
    table.loc[:3, ["requested_core_share", "requested_enhancing_share"]] = np.nan
    rows = rows_of(table)
    assert rows["core_share", "first"]["n_requests"] == 6
    assert rows["core_share", "first"]["r2"] == pytest.approx(1)
    assert rows["volume_ml", "first"]["n_requests"] == 10
    table["requested_core_share"] = table["requested_enhancing_share"] = np.nan
    assert not {"core_share", "enhancing_share"} & {name for name, _ in rows_of(table)}


def test_a_request_without_a_tumour_is_counted_everywhere():
    table = asked_for(10)
    table.loc[0, "requested_volume_ml"] = 5.0
    lost = [f"first_{name}" for name in UNITS]
    table.loc[0, lost] = np.nan
    table.loc[0, "first_volume_ml"], table.loc[0, "first_outcome"] = 0.0, "missing"
    rows = rows_of(table)
    for (name, draw), row in rows.items():
        assert row["n_missing"] == (draw == "first"), name
        assert name == SMALL or row["n_requests"] == 10
    assert rows["volume_ml", "first"]["bias"] == pytest.approx(1.0)
    assert rows[DISTANCE, "first"]["p95"] == 0.0
    assert rows[MET, "first"]["share"] == 0.9


def phantom(tumour_level, noise=0.1):
    rng = np.random.default_rng(0)
    brain, tumour = ball((16, 16, 12), 11), ball((15, 17, 12), 4)
    image = np.stack([0.5 + noise * rng.normal(size=GRID.shape)] * 2)
    image[0][tumour] = tumour_level
    image[1][tumour] = 0.5
    return image * brain, tumour, brain


@pytest.mark.parametrize("level", [0.3, 0.5, 0.8])
def test_the_step_is_that_of_the_tumour_against_its_surroundings(level):
    image, tumour, brain = phantom(level)
    image[0][ball((20, 8, 12), 1)] = 5.0  # far from the tumour
    found = tumour_step(image, tumour, brain, GRID.spacing_mm, (2.0, 6.0))
    assert found == pytest.approx([level - 0.5, 0.0], abs=0.015)


def test_a_smoother_patient_has_no_more_contrast(tmp_path):
    for name, noise in (("real", 0.1), ("smooth", 0.01)):
        image, tumour, brain = phantom(0.8, noise)
        save_patient(tmp_path / name, image.clip(0, 1), tumour, brain, GRID.affine)
    unit = healthy_spread([tmp_path / "real"])
    assert unit == pytest.approx([0.1, 0.1], rel=0.05)
    found = [steps([tmp_path / n], GRID, (2.0, 12.0), 2)[0, 0] for n in ("real", "smooth")]
    assert found[0] == pytest.approx(found[1], rel=0.05)


def test_a_patient_without_tumour_has_no_contrast(tmp_path):
    image, tumour, brain = phantom(0.8)
    assert np.isnan(tumour_step(image, tumour & False, brain, (3, 3, 3), (2, 12))).all()
    save_patient(tmp_path / "a", image.clip(0, 1), tumour, brain, GRID.affine)
    save_patient(tmp_path / "b", image.clip(0, 1), tumour & False, brain, GRID.affine)
    place = (GRID, (2.0, 12.0), 2)
    alone = steps([tmp_path / "a"], *place)
    assert alone.shape == (1, 2)
    assert np.array_equal(steps([tmp_path / "a", tmp_path / "b"], *place), alone)
    assert steps([tmp_path / "b"], *place).shape == (0, 2)


def test_the_interval_of_a_ratio_covers_it():
    """Two groups of patients, as few as a demo's, whose contrasts are in the ratio of 0.7."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(1000):
        found, low, high = ratio_of_means(rng.normal(1.4, 0.6, 12), rng.normal(2, 0.5, 8), 0.95)
        held.append(low < 0.7 < high)
        assert low < found < high
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_a_ratio_to_nothing_has_no_bounds():
    rng = np.random.default_rng(0)
    some, nothing = rng.normal(1, 0.2, 8), np.linspace(-0.4, 0.5, 8)
    assert np.isnan(ratio_of_means(some, nothing, 0.95)[1:]).all()
    assert np.isnan(ratio_of_means(some[:0], some, 0.95)).all()
    assert ratio_of_means(some, some, 0.95)[0] == 1


def test_a_contrast_that_is_lost_is_told_by_its_ratio():
    rng = np.random.default_rng(0)
    base = {"real": 8, "reconstructed": 8, "training": 8, "synthetic": 24}
    groups = {name: rng.normal(2, 0.3, (count, 2)) for name, count in base.items()}
    groups["synthetic"][:, 1] *= 0.5
    rows = contrast_rows(groups, np.array([0.5, 2.0]), ["flair", "t1ce"], 0.95)
    found = {(row["group"], row["modality"]): row for row in rows}
    same, lost = (found["reconstructed", modality] for modality in ("flair", "t1ce"))
    assert same["ratio_low"] < 1 < same["ratio_high"]
    assert lost["ratio"] == pytest.approx(0.5, abs=0.1) and lost["ratio_high"] < 0.75
    # Shared by all groups, the unit cancels.
    assert same["contrast_z"] == pytest.approx(4, abs=0.5)
    assert np.isnan(found["synthetic", "flair"]["ratio"])


def write(table, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, sep="," if path.suffix == ".csv" else "\t", index=False)
    return str(path)


SWEPT = ["size-01", "size-02", "place-01", "place-02"]


def make_patients(folder, names, level):
    for k, name in enumerate(names):
        image, _, brain = phantom(level)
        tumour = ball((15, 17, 12), 2 + k % 3)
        image[0][tumour] = level
        save_patient(folder / name, image.clip(0, 1), 3 * tumour, brain, GRID.affine)
    return str(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The inputs of all rules of the stage, with small patients."""
    root = tmp_path_factory.mktemp("results")
    rng = np.random.default_rng(0)
    tests, made = [f"t{k}" for k in range(4)], [f"s{k}" for k in range(5)]
    make_patients(root / "preprocess", tests, 0.8)
    make_patients(root / "preprocess", train := [f"r{k}" for k in range(3)], 0.72)
    rows = [{"split": s, "role": "train", "patient_id": t} for s in SPLITS for t in train]
    losses = pd.DataFrame({"step": range(1, 21), "loss": np.linspace(1, 0.1, 20)})
    looks = losses.assign(validation_dice=[*[None] * 18, 0.5, 0.6])
    rows += [{"split": s, "role": "test", "patient_id": t} for s in SPLITS for t in tests]
    rows += [{"split": s, "role": "validation", "patient_id": "v0"} for s in SPLITS]
    files = Named(images=[str(root / "preprocess" / t / "image.npy") for t in tests])
    files["test"] = files.images
    files["training"] = [str(root / "preprocess" / t / "image.npy") for t in train]
    near = {"image_distance": [0.3, 0.1, 0.2, 0.4, 0.5], "image_patient": ["r2", "r1", *train]}
    table = pd.DataFrame({"patient_id": made, **near, "image_mirrored": [True] + 4 * [False]})
    files["neighbours"] = [write(table, root / "neighbours.csv")]
    files["splits"] = write(pd.DataFrame(rows), root / "splits.tsv")
    stages = ("autoencoder", "diffusion", "segmentation", "synthetic", "sweep", "reconstructions")
    tables = ("attributes", "sweep_attributes", "reconstruction", "scores", "configs")
    files |= {name: [] for name in (*stages, *tables)}
    swept = attributes(4).assign(patient_id=SWEPT)
    for split in SPLITS:
        made_here = root / "synthesis" / split
        files.synthetic.append(make_patients(made_here / "patients", made, 0.7))
        files.sweep.append(make_patients(made_here / "sweep", SWEPT, 0.7))
        files.attributes.append(write(attributes(5), made_here / "attributes.tsv"))
        files.sweep_attributes.append(write(swept, made_here / "sweep_attributes.tsv"))
        encoded = root / "autoencoder" / split
        files.reconstructions.append(make_patients(encoded / "reconstructions", tests, 0.75))
        scores = {"patient_id": tests, "psnr_db": 30.0, "ssim": [0.9, 0.8, 0.9, 0.8]}
        table = pd.DataFrame({**scores, "label_dice": 0.97})
        files.reconstruction.append(write(table, encoded / "reconstruction.csv"))
        files.autoencoder.append(write(losses, encoded / "training.tsv"))
        files.diffusion.append(write(losses, root / "diffusion" / split / "training.tsv"))
        for arm in ARMS:
            trained = root / "segmentation" / split / arm
            files.segmentation.append(write(looks, trained / "training.tsv"))
            (trained / "model").mkdir(parents=True)
            kept = {"validation_dice": 0.8 if arm == "real" else 0.7}
            (trained / "model" / "config.json").write_text(json.dumps(kept))
            files.configs.append(str(trained / "model" / "config.json"))
            rows = {"split": split, "arm": arm, "patient_id": tests, "region": "WT"}
            rows |= {"dice": rng.uniform(0.4, 0.9, 4), "hd95_mm": 9.0, "nsd": 0.7}
            rows |= dict.fromkeys(NATIVE_SCORES, 0.5) | {"reference_ml": 20.0}
            table = pd.DataFrame({**rows, "volume_error_ml": rng.normal(size=4)})
            files.scores.append(write(table, trained / "scores.csv"))
    params = Named(
        **SETTINGS, seed=0, splits=SPLITS, shown=SPLITS[0], arms=ARMS, results="results",
        phantoms=True,
        model=None, priors=["embedded", "none"],
    )  # fmt: skip
    grid = {"shape": list(GRID.shape), "spacing_mm": list(GRID.spacing_mm)}
    params |= {"modalities": ["flair", "t1ce"], "labels": "whole_tumour", "grid": grid}
    return files, Named(params)


def call(rule, run, inputs, **outputs):
    _, params = run
    rule.main(SimpleNamespace(input=inputs, output=Named(outputs), params=params))


@pytest.fixture(scope="module")
def tables(run, tmp_path_factory):
    """The stage's tables."""
    files, _ = run
    folder = tmp_path_factory.mktemp("evaluation")
    at = {
        n: str(folder / f"{n}.csv") for n in ("scores", "adherence", "reconstruction", "contrast")
    }
    texts = {"csv": "segmentation.csv", "markdown": "segmentation.md", "latex": "segmentation.tex"}
    texts = {name: str(folder / file) for name, file in texts.items()}
    given = Named(tables=files.scores, splits=files.splits, configs=files.configs)
    at |= {name: str(folder / f"{name}.csv") for name in ("validation", "comparisons")}
    call(collect_scores, run, given, scores=at["scores"], validation=at["validation"])
    given = Named(scores=at["scores"], validation=at["validation"], others=[])
    call(summarise_segmentation, run, given, **texts)
    call(compare_arms, run, given, table=at["comparisons"])
    call(evaluate_adherence, run, files, table=at["adherence"])
    call(collect_reconstruction, run, files.reconstruction, table=at["reconstruction"])
    call(evaluate_contrast, run, files, table=at["contrast"])
    parts = []
    for split in SPLITS:
        rows = {"split": split, "generator": ["reconstructed", "synthetic"] * 2, "value": 1.02}
        rows |= {"measure": ["slice_ratio"] * 2 + ["brain_ml"] * 2, "modality": None}
        rows |= {"reference": "real", "low": 1.01, "high": [1.03, 1.03, None, 1.03]}
        rows |= {"floor": [0.97, 0.98, 0.97, None], "floor_low": [None, 0.9, None, None]}
        table = pd.DataFrame({**rows, "floor_high": [None, 1.1, None, None]})
        table["low"] = table["low"].where(table["high"].notna())
        parts.append(write(table, folder / "quality" / f"{split}.csv"))
    at["quality"] = str(folder / "quality.csv")
    call(collect_quality, run, Named(tables=parts), table=at["quality"])
    memory = {"verdict": "no copies seen", "reason": "", "synthetic": 5, "copies": 0}
    memory |= {"planted": 8, "planted_seen": 8, "same_tumours": 1, "expected_share": 0.2}
    memory = pd.DataFrame({"split": SPLITS, **memory, "latent_nearer": 1, "mask_nearer": 2})
    at["memory"] = write(memory, folder / "memory.csv")
    return Named(at, segmentation=texts["csv"], markdown=texts["markdown"], folder=folder)


def test_the_tables_have_the_promised_columns(tables):
    columns = {
        "scores": "split n validation seed arm patient_id region dice hd95_mm nsd volume_error_ml "
        f"volume_error_abs_ml reference_ml {' '.join(NATIVE_SCORES)}",
        "adherence": "split attribute unit draw n_requests n_missing bias bias_low bias_high "
        "limit_low limit_high median p95 slope r2 r2_shuffled share",
        "reconstruction": "split psnr_db ssim label_dice",
        "contrast": "split group modality patients contrast_z ratio ratio_low ratio_high",
    }
    rows = {"scores": 32, "adherence": 40, "reconstruction": 2, "contrast": 16}
    for name, expected in columns.items():
        table = read_table(tables[name])
        assert table.columns.tolist() == expected.split(), name
        assert len(table) == rows[name], name
    summary = read_table(tables.segmentation)
    assert summary["arm"].tolist() == ARMS and set(summary["n"]) == {3}
    assert read_table(tables.reconstruction)["ssim"].tolist() == pytest.approx([0.85, 0.85])


def test_contrast_of_the_groups(tables):
    table = read_table(tables.contrast).set_index(["split", "group", "modality"])["contrast_z"]
    found = table["n4-s0"].xs("flair", level="modality")
    assert found["real"] > found["reconstructed"] > found["training"] > found["synthetic"] > 1
    assert table["n4-s0", "real", "t1ce"] == pytest.approx(0, abs=0.3)


def test_the_summary_holds_all_tables(run, tables):
    path = tables.folder / "summary.md"
    tables = Named(tables, attributes=run[0].attributes, sweeps=run[0].sweep_attributes)
    call(write_summary, run, tables, summary=str(path))
    text = path.read_text()
    for part in ("not decided", "Dice", "distance of the centroids", "PSNR", "results/synthesis"):
        assert part in text
    slices, brain = "| difference of neighbouring slices ", "| volume of the brain "
    assert text.index(slices) < text.index(brain)
    lines = [line.split("|") for line in text.splitlines() if slices in line]
    interval, floor = "1.020 [1.010, 1.030]", "0.980 [0.900, 1.100]"
    assert [cell.strip() for cell in lines[0][1:]][:6] == [
        split_words(SPLITS[0]), slices[2:-1], "", interval, interval, floor,
    ]  # fmt: skip
    assert len(lines) == 2
    lines = [line.split("|") for line in text.splitlines() if brain in line]
    assert [cell.strip() for cell in lines[0][4:7]] == [interval, "1.020", "0.970"]
    assert "is not known here" not in text


def test_the_summary_is_in_words_and_calls_no_phantom_real(run, tables):
    path = tables.folder / "words.md"
    inputs = Named(tables, attributes=run[0].attributes, sweeps=run[0].sweep_attributes)
    call(write_summary, run, inputs, summary=str(path))
    text = path.read_text()
    assert text.index("All patients of this run are phantoms") < text.index("Did synthetic")
    # Names of arms, and what the banner says of them, are all that is left.
    words = ("against real ", "`real` stands for", "not real", "about real")
    for allowed in (r"real(\+\w+)+", r"\| real ", *words):
        text = re.sub(allowed, "", text)
    assert not re.search(r"\breal\b", text)
    shown = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    assert not re.search(r"[a-z]_[a-z]|n\d+-s\d+", shown)


@pytest.mark.parametrize("given", [{"model": "/m"}, {"priors": ["/m", "/m"]}])
def test_a_model_of_another_run_is_named_first(given, run, tables, tmp_path):
    inputs = Named(tables, attributes=run[0].attributes, sweeps=run[0].sweep_attributes)
    changed = run[0], Named(run[1], **given)
    call(write_summary, changed, inputs, summary=str(tmp_path / "summary.md"))
    text = (tmp_path / "summary.md").read_text()
    assert text.count("Synthetic patients come from /m") == 1
    assert text.index("are unknown here") < text.index("Did synthetic patients")


def test_figures_are_drawn_with_the_same_bytes(run, tables):
    files, _ = run
    inputs = Named(files, scores=tables.scores)
    drawn = []
    for name in ("first", "again"):
        call(draw_figures, run, inputs, figures=str(tables.folder / name))
        drawn.append({p.name: p.read_bytes() for p in (tables.folder / name).iterdir()})
    names = "training_curves real_and_synthetic size_sweep requested_and_measured dice_by_arm"
    names += " synthetic_patients nearest_training_patients place_sweep"
    assert set(drawn[0]) == {f"{name}.png" for name in names.split()}
    assert drawn[0] == drawn[1]


def test_a_generator_that_makes_no_tumour_stops_nothing(run, tables, tmp_path):
    """Every table and figure is there, and the summary says it before anything else."""
    files, params = run
    lost = Named(files, attributes=[], sweep_attributes=[], synthetic=[], sweep=[])
    for split in SPLITS:
        table = attributes(5)
        table[[name for name in table if name.startswith(("measured", "first"))]] = np.nan
        table["measured_volume_ml"] = table["first_volume_ml"] = 0.0
        table["outcome"] = table["first_outcome"] = "missing"
        (tmp_path / split / "none").mkdir(parents=True)
        lost.attributes.append(write(table, tmp_path / split / "attributes.tsv"))
        lost.sweep_attributes.append(write(table[:0], tmp_path / split / "sweep.tsv"))
        for folders in (lost.synthetic, lost.sweep):
            folders.append(str(tmp_path / split / "none"))
    nobody = read_table(files.neighbours[0])[:0]
    lost["neighbours"] = [write(nobody, tmp_path / "neighbours.csv")]
    found = Named(tables, adherence=str(tmp_path / "a.csv"), contrast=str(tmp_path / "c.csv"))
    call(evaluate_adherence, run, lost, table=found.adherence)
    call(evaluate_contrast, run, lost, table=found.contrast)
    inputs = Named(lost, scores=found.scores)
    call(draw_figures, run, inputs, figures=str(tmp_path / "figures"))
    inputs = Named(found, attributes=lost.attributes, sweeps=lost.sweep_attributes)
    call(write_summary, run, inputs, summary=str(tmp_path / "summary.md"))
    assert len(list((tmp_path / "figures").glob("*.png"))) == 8
    text = (tmp_path / "summary.md").read_text()
    assert text.index("no synthetic patient could be made") < text.index("Did synthetic patients")
    table = read_table(found.adherence).set_index("attribute")
    for count in ("n_requests", "n_missing"):
        assert table.loc["volume_ml", count].tolist() == [5] * 4
    assert table.loc[DISTANCE, "median"].isna().all()
    assert (table.loc[MET, "share"] == 0).all()


def test_the_nearest_pairs_are_drawn(run):
    files, _ = run
    synthetic = draw_figures.patients_in(files.synthetic[0])
    training = {path.parent.name: Patient(path.parent) for path in map(Path, files.training)}
    near = read_table(files.neighbours[0])
    pairs = draw_figures.nearest_pairs(near, synthetic, training, 3)
    names = [tuple(patient.patient_id for patient in pair) for pair in pairs]
    assert names == [("s1", "r1"), ("s2", "r0"), ("s0", "r2")]
    assert [pair[1].mirrored for pair in pairs] == [False, False, True]


def test_pairs_are_alike_in_volume_and_never_repeat(tmp_path):
    real = [Patient(tmp_path / f"r{k}") for k in range(4)]
    made = [Patient(tmp_path / f"s{k}") for k in range(6)]
    for patients, radii in ((real, (2, 3, 4, 5)), (made, (5, 2, 4, 3, 2, 5))):
        for patient, radius in zip(patients, radii, strict=True):
            tumour = ball((16, 16, 12), radius)
            image = np.zeros((1, *GRID.shape))
            save_patient(patient.folder, image, tumour, tumour, GRID.affine)
    pairs = draw_figures.pair_by_volume(real, made, GRID, 2)
    volumes = [[draw_figures.tumour_ml(p, GRID) for p in pair] for pair in pairs]
    assert len({second.patient_id for _, second in pairs}) == 2
    assert all(first == second for first, second in volumes)


def test_learning_curves_go_through_the_means_of_each_size(run, tables):
    rows = [
        {
            "n": n,
            "seed": 0,
            "arm": arm,
            "patient_id": f"t{k}",
            "region": "WT",
            "dice": dice + 0.1 * k,
        }
        for (n, arm), dice in {
            (5, "real"): 0.4,
            (10, "real"): 0.6,
            (5, "real+classical"): 0.5,
            (10, "real+classical"): 0.7,
        }.items()
        for k in range(3)
    ]
    figure = plots.dice_by_n(pd.DataFrame(rows), ["real", "real+classical"], 0.95)
    lines = [container.lines[0].get_ydata() for container in figure.axes[0].containers]
    np.testing.assert_allclose(lines, [[0.5, 0.7], [0.6, 0.8]])
    files, _ = run
    scores = read_table(tables.scores)
    more = pd.concat([scores, scores.assign(n=8)])
    path = write(more, tables.folder / "more.csv")
    call(draw_figures, run, Named(files, scores=path), figures=str(tables.folder / "more"))
    assert (tables.folder / "more" / "dice_by_n.png").is_file()
