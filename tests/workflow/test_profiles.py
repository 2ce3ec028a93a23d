"""The Slurm profile: which partition a job goes to."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file

PROFILE = Path(__file__).resolve().parents[2] / "profiles" / "slurm"


@pytest.mark.parametrize(
    ("resources", "partition"),
    [
        ({"mem_mb": 2000, "runtime": 30}, "cpu"),
        ({"mem_mb": 16000, "runtime": 1440, "gpu": 1}, "gpu"),
        ({"mem_mb": 16000, "runtime": 4000}, None),
    ],
)
def test_jobs_go_to_the_partition_that_fits(resources, partition):
    job = SimpleNamespace(name="job", threads=2, resources=resources)
    partitions = read_partition_file(PROFILE / "partitions.yaml")
    assert get_best_partition(partitions, job, logging.getLogger()) == partition
