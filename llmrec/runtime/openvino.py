"""OpenVINO, without its usage reports, and without what makes a signal end the process."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llmrec.errors import ConfigError

_DISABLED = 2
"""``SS_DISABLE`` of ``sigaltstack(2)``: handlers run on the thread's usual stack."""


class _SignalStack(ctypes.Structure):
    """``stack_t`` of ``sigaltstack(2)``."""

    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def import_openvino() -> Any:
    """The ``openvino`` module.

    On import, OpenVINO starts a process that reports its use over the network, unless the package that does
    so cannot be imported. llmrec reaches no network that the user did not ask for.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def cpu_core() -> Any:
    """An ``openvino.Core`` whose CPU plugin is loaded."""
    core = import_openvino().Core()
    with kept_signal_stack():
        core.get_property("CPU", "FULL_DEVICE_NAME")
    return core


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Give the thread back the stack that its signal handlers run on.

    Whoever loads OpenVINO's CPU plugin gets a stack for handlers that lasts as long as the core. When several
    cores go in the order in which they came, the thread is left with one that is gone, and the next Ctrl-C is
    a segmentation fault (OpenVINO 2026.4, Linux).
    """
    if sys.platform != "linux":
        yield
        return
    set_stack = ctypes.CDLL(None).sigaltstack
    before = _SignalStack()
    set_stack(None, ctypes.byref(before))
    try:
        yield
    finally:
        # It may have become too small, if the process now uses registers that take more room (AMX).
        if set_stack(ctypes.byref(before), None):
            set_stack(ctypes.byref(_SignalStack(flags=_DISABLED)), None)


def cpu_precision(core: Any, precision: str, setting: str) -> str:
    """OpenVINO's name of the precision that the CPU computes in.

    Args:
        core: an ``openvino.Core``.
        precision: ``float32``, ``bfloat16``, or another for bfloat16 where the hardware has it.
        setting: what errors call the setting.

    Raises:
        ConfigError: bfloat16 is asked for and the CPU lacks it.
    """
    in_hardware = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bfloat16" and not in_hardware:
        raise ConfigError(f"{setting} is bfloat16, but this CPU does not compute in it", 'Set it to "auto".')
    return "bf16" if in_hardware and precision != "float32" else "f32"
