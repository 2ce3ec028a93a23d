"""Random numbers that depend on their purpose only."""

import numpy as np
import torch


def generator(*seeds: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A separate random generator for each tuple of integers, independent of earlier draws.

    A GPU draws other numbers than a CPU.
    """
    state = int(np.random.SeedSequence((len(seeds), *seeds)).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(state >> 1)
