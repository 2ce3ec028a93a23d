"""Uses of Snakemake's own objects that its documentation does not cover.

They were tried with Snakemake ``TRIED_WITH``, the version in ``requirements.lock``. Try them again
with a new version: ``pytest tests/workflow``.
"""

from collections.abc import Iterable

from snakemake.api import Workflow
from snakemake.caching.rule import CacheFlag

TRIED_WITH = "9.27.1"


def is_module(workflow: Workflow) -> bool:
    """Whether another workflow uses the Snakefile that is being read as a module."""
    return workflow.modifier.parent_modifier is not None


def runs_locally(workflow: Workflow) -> bool:
    """Whether jobs run on this machine: no number of cluster jobs was given."""
    return workflow.global_resources["_nodes"].value is None


def gpus_named(workflow: Workflow) -> int | None:
    """The value of ``--resources gpu``; ``None`` without it."""
    return workflow.global_resources.get("gpu").value


def limit_gpus(workflow: Workflow, count: int) -> None:
    """Let jobs with the resource ``gpu`` use ``count`` of them at the same time."""
    workflow.register_resource("gpu", count)


def share(workflow: Workflow, names: Iterable[str]) -> None:
    """With ``--cache``, share the outputs of the named rules between runs.

    Snakemake shares no rule with a benchmark, so the benchmarks of these rules are removed. It
    warns in each run about rules that could be shared, so nothing is done without ``--cache``.
    """
    if workflow.workflow_settings.cache is None:
        return
    for rule in map(workflow.get_rule, filter(workflow.is_rule, names)):
        rule._benchmark = None
        rule.cache.flag |= CacheFlag.output
