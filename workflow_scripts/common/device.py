"""Where a job computes, and in which arithmetic."""

from contextlib import AbstractContextManager

import torch


def device() -> torch.device:
    """The GPU where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def arithmetic(choice: str) -> str:
    """The arithmetic, ``fp32`` or ``bf16``, of a configured one, which may be ``auto``.

    ``auto`` is bf16 where the device computes in it, since elsewhere it is slower than fp32.
    """
    if choice != "auto":
        return choice
    if torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        flags = torch.cpu.get_capabilities()
        fast = bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))
    return "bf16" if fast else "fp32"


def autocast(choice: str, torch_device: torch.device) -> AbstractContextManager:
    """A context in which networks on a device compute in the configured arithmetic."""
    return torch.autocast(torch_device.type, torch.bfloat16, enabled=arithmetic(choice) == "bf16")


def exact(torch_device: torch.device) -> AbstractContextManager:
    """A context in which matrix products on a device are fp32, whatever the network's arithmetic.

    What is meant to be undone later, such as a change of basis, must not be rounded to bf16.
    """
    return torch.autocast(torch_device.type, enabled=False)
