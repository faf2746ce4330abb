"""Which device there is to compute on."""

from __future__ import annotations

import ctypes
import sys


def has_gpu() -> bool:
    """Whether PyTorch can use an NVIDIA GPU."""
    # Importing PyTorch only to learn that there is no GPU would cost seconds; without a driver there is none.
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    import torch

    return torch.cuda.is_available()


def cores() -> int:
    """How many CPU cores this process may use: what its container or affinity leaves.

    Engines whose threads spin while they wait would be many times slower with more threads than that.
    """
    import joblib  # takes a quarter of a second

    return int(joblib.cpu_count())


def device_name() -> str:
    """What models are computed on, for people: the GPU, or the CPU with its cores and what it has."""
    from llmrec.runtime.openvino import cpu_core

    if has_gpu():
        import torch

        return f"{torch.cuda.get_device_name()} (CUDA)"
    core = cpu_core()
    name = str(core.get_property("CPU", "FULL_DEVICE_NAME"))
    bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return f"CPU: {name}, {cores()} cores, bfloat16 {'in hardware' if bfloat16 else 'not in hardware'}"
