"""The configuration: typed, closed, and one with its schema and its comments."""

import re
from pathlib import Path

import pytest
import yaml

from workflow_scripts.common.files import UserError
from workflow_scripts.configuration import (
    DEFAULTS,
    LINE_LENGTH,
    SCHEMA,
    check,
    schema_text,
    with_comments,
)

ROOT = Path(__file__).resolve().parents[2]
SETUPS = sorted((ROOT / "config").glob("*.yaml"))


def default():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def merged(base, change):
    """Merge as Snakemake does: sections key by key, all else replaced."""
    both = {k: merged(base[k], v) if isinstance(v, dict) and k in base else v
            for k, v in change.items()}  # fmt: skip
    return {**base, **both}


def test_config_yaml_is_complete():
    check(default())


@pytest.mark.parametrize("path", SETUPS, ids=lambda path: path.name)
def test_every_set_up_is_right(path):
    values = merged(default(), yaml.safe_load(path.read_text()))
    # Where the user's patients are is for the user to say.
    theirs = {"brats": {"root": "/data"}, "table": {"table": "patients.tsv"}}
    values["cohort"] |= theirs.get(values["cohort"]["source"], {})
    check(values)


def test_the_schema_has_not_drifted():
    assert SCHEMA.read_text() == schema_text(), "run `make schema`"


def test_the_comments_have_not_drifted():
    text = DEFAULTS.read_text(encoding="utf-8")
    assert text == with_comments(text), "run `make schema`"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(r" # .*", " # outdated", id="outdated"),
        pytest.param(r" +# .*", "", id="missing"),
        pytest.param(r"( # .*)", r"\1\n      # more", id="longer"),
    ],
)
def test_comments_are_replaced_and_nothing_else(old, new):
    text = DEFAULTS.read_text(encoding="utf-8")
    # Without the lines on which a comment goes on.
    short = re.sub(r"\n +#.*", "", text)
    changed = re.sub(old, new, short)
    assert changed != short
    assert with_comments(changed) == text
    assert yaml.safe_load(changed) == yaml.safe_load(text)


def test_every_value_has_a_comment_of_at_most_two_lines():
    text = DEFAULTS.read_text(encoding="utf-8")
    assert re.findall(r"^ *\w+: [^#\n]*$", text, re.MULTILINE) == []
    assert re.findall(r"(?:\n +#.*){2}", text) == [], "shorten the description"
    assert max(map(len, text.splitlines())) <= LINE_LENGTH


def test_a_key_without_a_description_has_no_comment():
    text = "# A header\n\ncohort: # outdated\n  phantom:\n  unknown: 1 # outdated\n"
    assert with_comments(text) == "# A header\n\ncohort:\n  phantom:\n  unknown: 1\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"autoencoder": {"lrr": 0.5}}, "unknown key autoencoder.lrr; did you mean autoencoder.lr"),
        ({"autoencodr": {}}, "unknown key autoencodr; did you mean autoencoder"),
        ({"cohort": {"splits": {"sed": [1]}}}, "did you mean cohort.splits.seeds"),
        ({"diffusion": {"layout": {"widht": [8]}}}, "did you mean diffusion.layout.widths"),
        ({"diffusion": {"noise": "gauss"}}, "diffusion.noise = 'gauss'"),
        ({"autoencoder": {"norm_groups": 7}}, "norm_groups 7 must divide every width"),
        ({"modalities": ["flair", "flair"]}, "named twice"),
        (
            {"segmentation": {"arms": ["real+cutmx"]}},
            "'cutmx' is not a word of an arm; the words are real, ",
        ),
        ({"segmentation": {"arms": ["synthetic+real"]}}, "write real.synthetic"),
        ({"segmentation": {"arms": ["real+real"]}}, "write real"),
        (
            {"segmentation": {"arms": ["real+cutmix+tumorcp"]}},
            "cutmix and tumorcp exclude each other; use one",
        ),
        ({"grid": {"shape": [64, 63, 48]}}, "multiple of 8"),
        (
            {"grid": {"shape": [64, 64, 56]}, "diffusion": {"patch": [1, 1, 4]}},
            "56 voxels along z are 14 in the latents, which 3 widt",
        ),
        ({"diffusion": {"patch": [1, 1, 5]}}, "48 voxels along z are no multiple of 5 .diffus"),
        (
            {
                "grid": {"shape": [64, 72, 48]},
                "autoencoder": {"stem": 8, "loss": {"equivariance": 1}},
            },
            "64 or 72 voxels along x and y are no multiple of 16",
        ),
        (
            {"segmentation": {"patch": [80, 64, 48]}},
            r"patch: \[80, 64, 48\] is larger than the grid",
        ),
        ({"cohort": {"phantom": {"patients": 9}}}, "the splits need 18 .train 8 . validation 2"),
        (
            {"cohort": {"phantom": {"patients": 4}, "splits": {"scheme": "folds", "folds": 5}}},
            "5 folds, 2 for validation, one who trains.; increase it, or lower folds",
        ),
        (
            {"diffusion": {"drop": 0}, "synthesis": {"guidance": 3}},
            "guidance = 3 needs a null condition",
        ),
        ({"diffusion": {"blocks": [1]}}, "blocks needs one value for each of widths"),
        (
            {
                "synthesis": {"shares": "uniform"},
                "cohort": {"source": "table", "table": "t.tsv", "label_scheme": "whole_tumour"},
            },
            "whole_tumour have no shares of core and enhancing tumour; set it to training",
        ),
        ({"synthesis": {"sigma_min": 200}}, "sigma_min must be below sigma_max"),
        (
            {
                "diffusion": {"anatomy": "none", "layout": None, "correction": 0},
                "synthesis": {"anatomy": "patients"},
            },
            "the denoiser takes no anatomy",
        ),
        ({"preprocess": {"reference": "t2"}}, "'t2' is none of the modalities flair, t1ce"),
        ({"cohort": {"exclude": ["x"]}}, "exclude is for real patients"),
        (
            {"autoencoder": {"prior": "/nowhere"}, "diffusion": {"prior": "/nowhere"}},
            "/nowhere/diffusion/config.json does not exist",
        ),
        (
            {
                "labels": "subregions",
                "cohort": {"source": "table", "table": "t.tsv", "label_scheme": "whole_tumour"},
            },
            "subregions do not exist in labels",
        ),
        ({"cohort": {"label_scheme": "msd"}}, "label_scheme is not for source 'phantom'"),
        ({"cohort": {"root": "/data"}}, "root is not for source 'phantom'; set source: brats"),
        ({"cohort": {"table": "t.tsv"}}, "table is not for source 'phantom'; set source: table"),
        ({"cohort": None}, "cohort: is a section; give its keys"),
        ({"synthesis": {"model": "null"}}, "synthesis.model: null is text"),
        ({"segmentation": {"patch": "null"}}, "segmentation.patch: null is text"),
        ({"synthesis": {"model": "/nowhere"}}, "/nowhere: is no model folder"),
        ({"synthesis": {"requests": "/nowhere.tsv"}}, "/nowhere.tsv is not a file"),
        ({"synthesis": {"sweep_ml": [5, 0]}}, "sweep_ml.1 = 0: Input should be greater than 0"),
        ({"segmentation": {"widths": [8, -8]}}, "widths.1 = -8: Input should be greater than 0"),
        ({"diffusion": {"lr": float("inf")}}, "diffusion.lr = inf: Input should be a finite"),
        ({"results": "a{b}"}, "results = 'a{b}': paths cannot hold braces"),
    ],
)
def test_mistakes_are_named(change, words):
    with pytest.raises(UserError, match=words):
        check(merged(default(), change))


def test_a_home_folder_is_meant_by_a_tilde():
    config = check(merged(default(), {"cohort": {"source": "brats", "root": "~/data"}}))
    assert config.cohort.root == str(Path.home() / "data")


def test_requests_are_looked_at_before_any_job(tmp_path):
    table = tmp_path / "requests.tsv"
    change = {"synthesis": {"requests": str(table)}}
    table.write_text("volume_ml\tcentroid_x_mm\n30\t1\n")
    with pytest.raises(UserError, match="columns centroid_y_mm, centroid_z_mm are missing"):
        check(merged(default(), change))
    table.write_text("volume_ml\tcentroid_x_mm\tcentroid_y_mm\tcentroid_z_mm\n30\t1\t2\t3\n")
    assert check(merged(default(), change)).synthesis.requests == str(table)


def test_text_from_the_command_line_becomes_numbers():
    config = check(merged(default(), {"autoencoder": {"steps": "12"}, "seed": "3"}))
    assert config.autoencoder.steps == 12
    assert config.seed == 3


def test_a_missing_key_is_named():
    values = default()
    del values["diffusion"]["steps"]
    with pytest.raises(UserError, match="diffusion.steps is missing"):
        check(values)
