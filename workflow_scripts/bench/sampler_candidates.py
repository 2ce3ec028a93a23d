"""The settings of the sampler to try, and the phantoms to try them on.

Settings are chosen on held-out phantoms, and the chosen one is reported on other phantoms
(``PARTS``). No prior is trained on either: ``cohort.settings.MOST_ON_GRID``.
"""

import itertools

from workflow_scripts.bench.settings import SamplerSettings

# Numbers of the first phantoms for choosing and for reporting.
PARTS = {"choose": 9001, "report": 9101}
CHANGED = ("guidance", "stochasticity", "sampling_steps")


def setting_name(setting: dict[str, float]) -> str:
    """A setting's name: ``g1.5-s0.75-n8`` for guidance, stochasticity and steps."""
    guidance, stochasticity, steps = (setting[name] for name in CHANGED)
    return f"g{guidance:g}-s{stochasticity:g}-n{steps}"


def settings_grid(sampler: SamplerSettings) -> dict[str, dict[str, float]]:
    """All combinations of the values in the configuration, by their names."""
    values = itertools.product(*(getattr(sampler, name) for name in CHANGED))
    settings = [dict(zip(CHANGED, each, strict=True)) for each in values]
    return {setting_name(setting): setting for setting in settings}


def held_out(part: str, count: int) -> list[str]:
    """Names of the phantoms of one of ``PARTS``."""
    return [f"phantom-{PARTS[part] + k:05d}" for k in range(count)]
