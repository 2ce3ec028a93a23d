"""Random numbers that follow from what they are for alone."""

import numpy as np
import torch


def generator(*seeds: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A random generator of its own for each tuple of integers, whatever was drawn before.

    A GPU's numbers are others than a processor's.
    """
    state = int(np.random.SeedSequence((len(seeds), *seeds)).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(state >> 1)
