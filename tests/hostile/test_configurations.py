"""A configuration that would be read as something else than it says is refused."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from workflow_scripts.command import main
from workflow_scripts.common.files import UserError
from workflow_scripts.configuration import read_config

ROOT = Path(__file__).resolve().parents[2]


def aliases(count: int) -> str:
    """Lists each of which holds the one before nine times."""
    lines = ["x0: &x0 [" + ",".join("a" * 9) + "]"]
    lines += [f"x{k}: &x{k} [{','.join([f'*x{k - 1}'] * 9)}]" for k in range(1, count)]
    return "\n".join([*lines, f"modalities: *x{count - 1}"])


BAD = {
    "a section twice": (
        "seed: 1\ncohort: {on_error: skip}\ncohort: {on_error: stop}",
        "'cohort' appears twice, again on line 3",
    ),
    "a key twice": ("autoencoder: {steps: 5, lr: 0.1, steps: 6}", "'steps' appears twice"),
    "a key twice, deep": (
        "autoencoder:\n  warp:\n    scale: 0.1\n    gain: 0\n    scale: 0.2",
        "'scale' appears twice.*line 5",
    ),
    "an octal number": ("seed: 010", "YAML would read '010' as another number, on line 1"),
    "a number in base 60": ("seed: 1:30", "YAML would read '1:30' as another number"),
    "a fraction in base 60": ("autoencoder: {lr: 1:30.5}", "YAML would read '1:30.5'"),
    "a section for a key": ("results: {{x}}", "found unhashable key"),
    "a date that is none": ("results: 2024-13-45", "is no YAML of sections"),
    "yes for a number": ("cohort: {splits: {test: yes}}", "cohort.splits.test.*no value here"),
    "no among numbers": ("cohort: {splits: {seeds: [0, no]}}", "seeds.*no value here"),
    "true for an amount": ("autoencoder: {lr: true}", "autoencoder.lr.*no value here"),
    "a fraction of a step": ("autoencoder: {steps: 1.5}", "autoencoder.steps"),
    "a list": ("- seed", "is no YAML of sections"),
    "a word": ("seed", "is no YAML of sections"),
    "an open list": ("seed: [1", "is no YAML of sections"),
    "tabs": ("cohort:\n\ton_error: skip", "is no YAML of sections"),
    "code": ("seed: !!python/object/apply:os.getpid []", "could not determine a constructor"),
    "a voxel of a micrometre": ("grid: {spacing_mm: [0.001, 3, 3]}", "grid.spacing_mm.*0.4 to 10"),
    "a voxel of half a metre": ("grid: {spacing_mm: [3, 500, 3]}", "grid.spacing_mm.*0.4 to 10"),
    "a grid beyond memory": ("grid: {shape: [8000, 8000, 800]}", "grid.*too large"),
    "results in the root": ("results: /", "results.*folder of the run's own"),
    "results at home": ("results: '~'", "results.*folder of the run's own"),
    "results here": ("results: .", "results.*folder of the run's own"),
    "results above": ("results: ..", "results.*folder of the run's own"),
    "results that are a file": ("results: config.yaml", "is a file; name a folder"),
    "braces in a path": ("results: 'r{x}'", "paths cannot hold braces"),
    "steps without end": ("diffusion: {steps: 1000000000000}", "diffusion.steps"),
    "an infinite amount": ("autoencoder: {lr: .inf}", "autoencoder.lr"),
    "no number": ("autoencoder: {lr: .nan}", "autoencoder.lr"),
    "a key that is not known": ("seeed: 1", "unknown key seeed; did you mean seed"),
    "aliases of aliases": (aliases(9), "holds more than 100,000 values"),
    "a list in itself": ("modalities: &a [*a]", "a section holds itself"),
    "a section in itself": ("cohort: &a {splits: *a}", "a section holds itself"),
    "lists without end": ("modalities: " + "[" * 500 + "]" * 500, "nested too deeply"),
    "two documents": ("seed: 1\n---\nseed: 2", "is no YAML of sections.*single document"),
    "an empty character in a path": ('results: "a\\0b"', "results.*control characters"),
    "a line's end in a path": ('cohort: {source: brats, root: "a\\nb"}', "control characters"),
    "a name that is too long": (f"synthesis: {{requests: {'y' * 300}}}", "too long for a path"),
    "a path that is too long": ("results: " + "x/" * 2500, "too long for a path"),
    "nobody's home": ("results: ~nobody123/x", "nobody has the home folder ~nobody123"),
    "more phantoms than any machine makes": (
        "cohort: {phantom: {patients: 1000000000000}}",
        "patients = 1000000000000: .* 1000000$",
    ),
    "training sets without end": (
        "cohort: {splits: {train_sizes: [1000000000000]}}",
        "sizes must be 1 to 1000000",
    ),
    "folds without end": ("cohort: {splits: {folds: 1000000000}}", "folds.*equal to 1000"),
    "a batch without end": ("diffusion: {batch: 1000000000000}", "batch.*equal to 100000"),
    "channels without end": ("segmentation: {widths: [8, 100000000]}", "widths.1.*to 16384"),
    "sampling without end": ("synthesis: {sampling_steps: 1000000000}", "steps.*to 10000"),
    "places that stray by a metre": ("synthesis: {jitter_mm: 1000}", "jitter_mm.*to 200"),
    "a tumour of a hundred litres": ("synthesis: {sweep_ml: [1e5]}", "sweep_ml.0.*to 1000"),
    "a section in quotes": ("cohort: '{on_error: skip'", "is a section; give its keys"),
    "a geometry that is not known": ("cohort: {geometry: guess}", "cohort.geometry"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_configuration_that_says_something_else_is_refused(tmp_path, monkeypatch, case):
    text, words = BAD[case]
    monkeypatch.chdir(ROOT)
    (tmp_path / "mine.yaml").write_text(text + "\n")
    with pytest.raises(UserError, match=words):
        read_config("config.yaml", tmp_path / "mine.yaml")


BAD_JSON = {
    "a key twice": ('{"seed": 1, "seed": 2}', "'seed' appears twice"),
    "a key twice, deep": ('{"autoencoder": {"lr": 1, "lr": 2}}', "'lr' appears twice"),
    "YAML": ("seed: 1", "is no YAML of sections"),
    "a list": ("[1]", "is no YAML of sections"),
    "no number": ('{"autoencoder": {"lr": NaN}}', "autoencoder.lr"),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_json_that_says_something_else_is_refused(tmp_path, monkeypatch, case):
    text, words = BAD_JSON[case]
    monkeypatch.chdir(ROOT)
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(UserError, match=words):
        read_config("config.yaml", tmp_path / "mine.json")


def test_json_indented_by_tabs_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "mine.json").write_text('{\n\t"seed": 7\n}\n')
    assert read_config("config.yaml", tmp_path / "mine.json").seed == 7


def test_the_run_refuses_what_check_refuses(snakemake, tmp_path):
    """Snakemake itself takes the last of two keys without a word."""
    (tmp_path / "mine.yaml").write_text("seed: 1\nseed: 2\n")
    done = snakemake(tmp_path, "--dry-run", "--configfile", "mine.yaml")
    assert done.returncode == 1
    assert "mine.yaml: 'seed' appears twice, again on line 2" in done.stderr
    assert "Traceback" not in done.stderr


SECTION_IN_ITSELF = b"cohort: &a {splits: *a}"
# The content of a file (None: there is no file, "": it is a folder), or a value of --config.
UNREADABLE = {
    "UTF-16": ("seed: 1\n".encode("utf-16"), "mine.yaml: is no text in UTF-8; save it as such"),
    "Latin-1": ("results: é\n".encode("latin-1"), "mine.yaml: is no text in UTF-8; save it"),
    "no file": (None, "mine.yaml: No such file or directory; name a configuration"),
    "a folder": ("", "mine.yaml: Is a directory; name a configuration"),
    "a section in itself": (SECTION_IN_ITSELF, "mine.yaml: is nested too deeply, or a section"),
    "lists without end": (b"modalities: " + b"[" * 500 + b"]" * 500, "is nested too deeply"),
    "an open list": (b"seed: [1", "mine.yaml: is no YAML of sections: while parsing"),
    "a word": (b"seed", "mine.yaml: is no YAML of sections, key: value"),
    "an open brace": ("cohort={source: brats", "cohort = '{source: brats': is a section; give"),
    "no value": ("seed", "--config seed: is no KEY=VALUE (Invalid config definition"),
    "no key": ("=3", "--config =3: is no KEY=VALUE (Invalid config definition"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_snakemake_and_check_say_the_same_of_what_they_cannot_read(snakemake, tmp_path, case):
    """Snakemake reads the configuration before the Snakefile, which explains what is wrong."""
    content, words = UNREADABLE[case]
    given = ["--config", content] if isinstance(content, str) and content else None
    if content == "":
        (tmp_path / "mine.yaml").mkdir()
    elif isinstance(content, bytes):
        (tmp_path / "mine.yaml").write_bytes(content)
    os.chdir(tmp_path)
    checked = CliRunner().invoke(main, ["check", *(given or ["mine.yaml"])])
    assert checked.exit_code == 1
    (line,) = checked.output.splitlines()
    assert line.startswith("Error: ") and words in line
    given = given or ["--configfile", "mine.yaml"]
    logger = ["--logger", "stages"] if case in ("UTF-16", "no value") else []
    done = snakemake(tmp_path, "--dry-run", *logger, *given, PYTHONPATH=str(ROOT / "terminal"))
    assert done.returncode == 1
    said = [text for text in done.stderr.splitlines() if not text.startswith("Using workflow")]
    assert said == [line]
    assert not done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "seed: 0",
        "seed: 0x10",
        "autoencoder: {lr: 1e-3}",
        "'seed': 5",
        "seed: +3",
        "\ufeffseed: 0",
        "seed: &a 0",
        "results: r 1",
        "results: ./é",
        "---\nseed: 0\n...",
        "cohort: {<<: {on_error: skip}, on_error: stop}",
    ],
)
def test_an_odd_but_valid_configuration_is_taken(tmp_path, monkeypatch, text):
    monkeypatch.chdir(ROOT)
    (tmp_path / "mine.yaml").write_text(text + "\n")
    config = read_config("config.yaml", tmp_path / "mine.yaml")
    right = {"seed: 0x10": 16, "'seed': 5": 5, "seed: +3": 3}
    assert config.seed == right.get(text, 0)
