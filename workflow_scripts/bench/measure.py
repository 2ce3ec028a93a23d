"""Time, memory and floating-point operations of a piece of work, in a process of its own."""

import multiprocessing
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch
from torch.utils.flop_counter import FlopCounterMode

from workflow_scripts.bench.timed_step import TimedStep
from workflow_scripts.common.device import device, resolve_precision
from workflow_scripts.common.provenance import peak_mb

# Size of the matrix product that measures the peak of a CPU or GPU, in one second.
SIDE = {"cpu": 2048, "cuda": 8192}
PEAK_SECONDS = 1.0


def measure(build: Callable[[], TimedStep], seconds: float, threads: int) -> dict | None:
    """Time, memory and operations per slice or volume of the work from ``build``.

    It runs in a separate process, so that the peak memory is that of this work only. ``None`` if
    the machine's memory is too small, and the system ended the process.
    """
    # Forked, since importing all networks takes longer than most of the work. This process has not
    # computed anything yet; otherwise the child would lack its threads.
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(send, build, seconds, threads))
    child.start()
    send.close()
    try:
        result = receive.recv()
    except EOFError:
        result = None  # the system ended it
    child.join()
    if isinstance(result, Exception):
        raise result
    if result is None and child.exitcode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"a measuring process ended with code {child.exitcode}")
    return result


def _report(send: Connection, build: Callable[[], TimedStep], seconds: float, threads: int) -> None:
    try:
        torch.set_num_threads(threads)
        send.send(timed(build(), seconds))
    except Exception as error:  # errors are passed to the waiting process
        send.send(None if _lacks_memory(error) else error)


def _lacks_memory(error: Exception) -> bool:
    # On a CPU, torch has no error class for it.
    known = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, known) or "can't allocate memory" in str(error)


def timed(work: TimedStep, seconds: float) -> dict:
    """Repeat the work for ``seconds`` after a warm-up call, and measure it."""
    with FlopCounterMode(display=False) as counter:
        times = [_time(work.call)]
    # On a CPU, a first call that takes this long counts. On a GPU it never counts, since it loads
    # and selects kernels.
    if times[0] < seconds or device().type != "cpu":
        times = []
        while sum(times) < seconds:
            times.append(_time(work.call))
    chosen = resolve_precision(work.precision)
    gflop = counter.get_total_flops() / 1e9
    each = sorted(times)[len(times) // 2]
    return {
        "seconds": each / work.count,
        "per": work.per,
        "peak_mb": _peak(),
        "parameters": work.parameters,
        "gflop": gflop / work.count,
        "precision": chosen,
        "share_of_peak": gflop / each / machine_peak(chosen),
    }


def machine_peak(chosen: str) -> float:
    """The peak rate of a matrix product on this machine, in 1e9 operations per second."""
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[chosen]
    # In TF32, like fp32 convolutions on a GPU.
    torch.set_float32_matmul_precision("high")
    side = SIDE[device().type]
    a = torch.randn(side, side, device=device()).to(kind)
    _time(lambda: a @ a)
    times: list[float] = []
    while sum(times) < PEAK_SECONDS:
        times.append(_time(lambda: a @ a))
    return 2 * side**3 / 1e9 / min(times)


def _time(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def _peak() -> int:
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 1e6)
    return peak_mb()
