"""A configuration that would be read as something else than it says is refused."""

from pathlib import Path

import pytest

from workflow_scripts.common.files import UserError
from workflow_scripts.configuration import read_config

ROOT = Path(__file__).resolve().parents[2]
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
    "a geometry that is not known": ("cohort: {geometry: guess}", "cohort.geometry"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_configuration_that_says_something_else_is_refused(tmp_path, monkeypatch, case):
    text, words = BAD[case]
    monkeypatch.chdir(ROOT)
    (tmp_path / "mine.yaml").write_text(text + "\n")
    with pytest.raises(UserError, match=words):
        read_config("config.yaml", tmp_path / "mine.yaml")


def test_a_configuration_in_another_encoding_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "mine.yaml").write_bytes("seed: 1\n".encode("utf-16"))
    with pytest.raises(UserError, match="is no text in UTF-8"):
        read_config("config.yaml", tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    "text",
    ["", "# nothing", "seed: 0", "seed: 0x10", "autoencoder: {lr: 1e-3}", "'seed': 5", "seed: +3"],
)
def test_an_odd_but_valid_configuration_is_taken(tmp_path, monkeypatch, text):
    monkeypatch.chdir(ROOT)
    (tmp_path / "mine.yaml").write_text(text + "\n")
    config = read_config("config.yaml", tmp_path / "mine.yaml")
    right = {"seed: 0x10": 16, "'seed': 5": 5, "seed: +3": 3}
    assert config.seed == right.get(text, 0)
