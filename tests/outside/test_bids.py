"""Exported patients, as the BIDS validator sees them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["real", "synthetic"])
def test_the_validator_finds_no_error(name):
    validator = Path(sys.executable).with_name("bids-validator-deno")
    dataset = Path(os.environ["EXPORT"], "bids", name)
    done = subprocess.run(
        [validator, "--json", dataset], capture_output=True, text=True, check=False
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors = [issue for issue in issues if issue["severity"] == "error"]
    assert not errors
    assert done.returncode == 0, done.stderr
