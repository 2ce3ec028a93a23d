"""The environments agree with the lock, and the code with what the lock installs."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml

from workflow_scripts.snakemake_internals import TRIED_WITH

ROOT = Path(__file__).resolve().parents[2]


def pins(lines):
    found = (line.strip().split("==") for line in lines if "==" in line and line[0] != "#")
    return {re.sub(r"[-_.]+", "-", name).lower(): number for name, number in found}


LOCK = pins((ROOT / "requirements.lock").read_text().splitlines())


def test_conda_environments_agree_with_the_lock():
    for file in (ROOT / "envs").glob("*.yaml"):
        conda = yaml.safe_load(file.read_text())
        packages = next(d["pip"] for d in conda["dependencies"] if isinstance(d, dict))
        wanted = pins(packages)
        assert len(wanted) == len(packages)
        assert {name: LOCK.get(name) for name in wanted} == wanted, file.name


def test_every_requirement_is_locked():
    lines = (ROOT / "requirements.in").read_text().splitlines()
    for line in lines:
        name = re.match(r"[A-Za-z0-9-]+", line)
        if name:
            assert name.group().lower() in LOCK, line


def test_the_lock_names_no_place_to_fetch_from():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert "torchvision" not in text
    assert LOCK["torch"] == "2.13.0"


def test_what_is_installed_is_what_the_lock_says():
    for name in ("monai", "snakemake", "lightning", "nibabel", "simpleitk"):
        assert version(name) == LOCK[name]


def test_the_container_recipe_copies_what_is_there():
    lines = (ROOT / "envs" / "Containerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert {"requirements.lock", "Snakefile", "rules", "workflow_scripts"} <= set(copied)
    assert not [name for name in copied if not (ROOT / name).exists()]


def test_profiles_agree_on_what_makes_a_job_stale():
    profiles = [yaml.safe_load(f.read_text()) for f in (ROOT / "profiles").glob("*/config.yaml")]
    assert len(profiles) >= 2
    for key in ("rerun-triggers", "max-checksum-file-size", "rerun-incomplete"):
        assert len({str(profile[key]) for profile in profiles}) == 1, key


def test_the_package_asks_for_what_the_workflow_pins():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {re.match(r"[A-Za-z0-9-]+", name).group().lower() for name in project["dependencies"]}
    assert asked
    assert not asked - set(LOCK)


def test_undocumented_objects_of_snakemake_are_used_in_one_module():
    assert LOCK["snakemake"] == TRIED_WITH
    private = re.compile(r"global_resources|\bmodifier\b|_benchmark\b|CacheFlag|workflow_settings")
    code = [ROOT / "Snakefile", *ROOT.glob("rules/*.smk"), *ROOT.glob("workflow_scripts/**/*.py")]
    users = {file.name for file in code if private.search(file.read_text(encoding="utf-8"))}
    assert users == {"snakemake_internals.py"}
