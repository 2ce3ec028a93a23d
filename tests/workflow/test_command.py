"""`sbldm`, from an installed wheel: with a model folder alone, or a configuration. What needs the
networks, or the workflow, to refuse runs in the tests' own process, which imports them once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from workflow_scripts.command import main
from workflow_scripts.synthesis.folder import write_checksums

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--configfile", str(ROOT / "config" / "tiny.yaml"))
COUNT = 3


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder in which the wheel is installed, its requirements being those of the tests."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "workflow_scripts", source / "workflow_scripts")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(source)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    wheel = next(source.glob("*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    return site


@pytest.fixture(scope="module")
def model(tiny_run, tmp_path_factory) -> Path:
    """The tiny run's model folder, alone in another place.

    What so little training draws is not certain: this decoder is made to see some tissue, and a
    tumour in it, everywhere.
    """
    folder = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(tiny_run / "results-tiny" / "synthesis" / "n2-s0" / "model", folder)
    weights = load_file(folder / "autoencoder" / "weights.safetensors")
    last = [name for name in weights if name.startswith("decoder.") and name.endswith("bias")][-1]
    flair, t1ce, background, tumour = range(4)
    weights[last][[flair, t1ce]] += 0.5
    weights[last][tumour] += 50
    save_file(weights, folder / "autoencoder" / "weights.safetensors")
    write_checksums(folder)
    return folder


@pytest.fixture(scope="module")
def tumour(model) -> pd.Series:
    """A tumour that the model can be asked for."""
    table = pd.read_csv(model / "attributes.tsv", sep="\t")
    return table[table["copy"] == 0].sort_values("volume_ml").iloc[-1].round(1)


def sbldm(
    site: Path, folder: Path, *arguments: str, command: str = "synthesize"
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [site / "bin" / "sbldm", command, *map(str, arguments)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(site)}, timeout=300,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


def here(*arguments: str | Path) -> Result:
    """The command in this process and its working folder."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def asked(tumour: pd.Series) -> list[str]:
    place = ",".join(str(tumour[f"centroid_{axis}_mm"]) for axis in "xyz")
    return ["--volume-ml", str(tumour["volume_ml"]), "--centroid-mm", place]


def test_its_volumes_are_the_workflows(site, model, tumour, snakemake, tmp_path):
    options = ["--model", model, *asked(tumour), "-n", COUNT, "--out", "made", "--threads", 1]
    done = sbldm(site, tmp_path, *options)
    assert done.returncode == 0, done.stderr
    made = pd.read_csv(tmp_path / "made" / "attributes.tsv", sep="\t")
    assert len(made) == COUNT

    names = ["volume_ml", *(f"centroid_{axis}_mm" for axis in "xyz")]
    table = pd.DataFrame([tumour[names]] * COUNT)
    table.to_csv(tmp_path / "mine.tsv", sep="\t", index=False)
    change = f"synthesis={{model: {model}, requests: mine.tsv}}"
    target = "results-tiny/synthesis/n2-s0/attributes.tsv"
    done = snakemake(tmp_path, *TINY, "--config", change, "--", target)
    assert done.returncode == 0, done.stderr[-3000:]
    files = sorted(file for file in (tmp_path / "made").rglob("*.nii.gz"))
    assert len(files) == COUNT * len(("flair", "t1ce", "label", "brain"))
    for file in files:
        same = (tmp_path / target).parent / file.relative_to(tmp_path / "made")
        assert file.read_bytes() == same.read_bytes(), file


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--volume-ml", "20"], "give --volume-ml and --centroid-mm"),
        (["--volume-ml", "20", "--centroid-mm", "1,2"], "'1,2' is not three numbers"),
        (["--volume-ml", "20", "--centroid-mm", "400,0,0"], "20 mL at (400, 0, 0) mm: only 0%"),
        (["--volume-ml", "20", "--requests", "requests.tsv"], "--requests lists all tumours"),
        (["--requests", "requests.tsv"], "requests: the table has no rows"),
    ],
)
def test_what_cannot_be_made_is_refused_in_words(model, tmp_path, monkeypatch, options, words):
    header = "volume_ml\tcentroid_x_mm\tcentroid_y_mm\tcentroid_z_mm\n"
    (tmp_path / "requests.tsv").write_text(header)
    monkeypatch.chdir(tmp_path)
    done = here("synthesize", "--model", model, "--out", "made/deep", *options)
    assert isinstance(done.exception, SystemExit) and done.exit_code != 0
    assert words in done.stderr
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("out", [".", "full", "file/deep"])
def test_a_folder_that_patients_cannot_go_to_is_refused_at_once(site, tumour, tmp_path, out):
    (tmp_path / "full").mkdir()
    for file in (tmp_path / "full" / "kept", tmp_path / "file"):
        file.touch()
    done = sbldm(site, tmp_path, "--model", "none", "--out", out, *asked(tumour))
    assert done.returncode != 0
    assert f"{out}: " in done.stderr
    assert "name a new folder" in done.stderr


def test_patients_go_where_a_link_points(site, model, tumour, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    done = sbldm(site, tmp_path, "--model", model, "--out", "link", *asked(tumour))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "empty" / "attributes.tsv").is_file()


@pytest.mark.parametrize("name", ["diffusion/weights.safetensors", "diffusion/config.json"])
def test_a_damaged_model_is_named(model, tumour, tmp_path, monkeypatch, name):
    shutil.copytree(model, tmp_path / "cut")
    content = (tmp_path / "cut" / name).read_bytes()
    (tmp_path / "cut" / name).write_bytes(content[: len(content) // 2])
    monkeypatch.chdir(tmp_path)
    done = here("synthesize", "--model", "cut", "--out", "made", *asked(tumour))
    assert isinstance(done.exception, SystemExit) and done.exit_code != 0
    assert f"cut/{name}: is not the file that checksums.json names: it is damaged" in done.stderr


def test_a_folder_that_is_no_model_is_refused(site, tumour, tmp_path):
    (tmp_path / "empty").mkdir()
    done = sbldm(site, tmp_path, "--model", "empty", "--out", "made", *asked(tumour))
    assert done.returncode != 0
    assert "empty: is no model folder, it lacks autoencoder/weights.safetensors" in done.stderr


def test_a_model_folder_says_what_it_can_make(site, model, tumour, tmp_path):
    done = sbldm(site, tmp_path, model, command="info")
    assert done.returncode == 0, done.stderr
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert said["modalities"] == "flair, t1ce"
    assert said["grid"] == "32 × 32 × 24 voxels of 6 × 6 × 6 mm (MNI152)"
    assert f"to {tumour['volume_ml']} mL" in said["tumours"]
    weights = load_file(model / "autoencoder" / "weights.safetensors")
    assert said["autoencoder"].startswith(f"{sum(w.numel() for w in weights.values()):,} numbers")


def test_a_folder_that_is_no_model_has_nothing_to_say(site, tmp_path):
    (tmp_path / "empty").mkdir()
    done = sbldm(site, tmp_path, "empty", command="info")
    assert done.returncode != 0
    assert "empty: is no model folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_of_another_version_is_refused_in_words(model, tumour, tmp_path, monkeypatch):
    folder = tmp_path / "older"
    shutil.copytree(model, folder)
    config = json.loads((folder / "diffusion" / "config.json").read_text())
    del config["settings"]["patch"]
    (folder / "diffusion" / "config.json").write_text(json.dumps(config))
    write_checksums(folder)
    monkeypatch.chdir(tmp_path)
    done = here("synthesize", "--model", "older", "--out", "made", *asked(tumour))
    assert isinstance(done.exception, SystemExit) and done.exit_code != 0
    assert "older/diffusion: was written by another version" in done.stderr
    assert "differ in patch" in done.stderr


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """What the workflow's own copy of the command says of a configuration, by its text."""
    monkeypatch.chdir(tmp_path)

    def check(text: str, *before: Path | str) -> Result:
        (tmp_path / "mine.yaml").write_text(text)
        return here("check", *before, "mine.yaml")

    return check


def test_a_configuration_is_counted(tmp_path):
    """As README has it, in a process of its own."""
    (tmp_path / "mine.yaml").write_text(
        "results: mine\ncohort: {splits: {train_sizes: [4, 6], seeds: [0, 1]}}\n"
    )
    tiny = ROOT / "config" / "tiny.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "workflow_scripts.command", "check", tiny, "mine.yaml"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=300,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4 splits" in done.stdout
    assert "4 autoencoders" in done.stdout
    assert "results go to mine/" in done.stdout


def test_values_on_the_command_line_come_last(checked):
    values = "--config", "results=yours", "--config", "cohort={splits: {train_sizes: [3]}}"
    done = checked("results: mine\n", *values)
    assert done.exit_code == 0, done.stderr
    assert "1 splits" in done.stdout
    assert "results go to yours/" in done.stdout
    assert "nothing: is no KEY=VALUE" in checked("", "--config", "nothing").stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("autoencoder: {lrr: 1}", "unknown key autoencoder.lrr; did you mean autoencoder.lr"),
        ("autoencoder: {lr: [", "mine.yaml: is no YAML of sections"),
        ("- autoencoder", "mine.yaml: is no YAML of sections"),
        ("cohort: {phantom: {patients: 4}}", "the splits need 18"),
        ("cohort: {source: msd, root: none}", "none is no folder"),
    ],
)
def test_a_configuration_that_cannot_run_is_refused_in_words(checked, text, words):
    done = checked(text)
    assert isinstance(done.exception, SystemExit) and done.exit_code != 0
    assert words in done.stderr


def test_a_wheel_says_that_it_has_no_workflow_to_check_against(site, tmp_path):
    done = sbldm(site, tmp_path, "mine.yaml", command="check")
    assert done.returncode != 0
    assert "check needs the workflow itself" in done.stderr
