"""The device and the precision of a job."""

from contextlib import AbstractContextManager

import torch


def device() -> torch.device:
    """The GPU if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolve_precision(choice: str) -> str:
    """The precision, ``fp32`` or ``bf16``, for a configured one, which may be ``auto``.

    ``auto`` is bf16 if the hardware supports it, since it is slower than fp32 otherwise.
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
    """A context in which networks on a device compute in the configured precision."""
    return torch.autocast(
        torch_device.type, torch.bfloat16, enabled=resolve_precision(choice) == "bf16"
    )


def exact(torch_device: torch.device) -> AbstractContextManager:
    """A context in which matrix products on a device are fp32, whatever the network's precision.

    An operation that is inverted later, such as a change of basis, must not be rounded to bf16.
    """
    return torch.autocast(torch_device.type, enabled=False)
