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
