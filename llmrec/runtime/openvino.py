"""OpenVINO, without its usage reports."""

from __future__ import annotations

import sys
from typing import Any

from llmrec.errors import ConfigError


def import_openvino() -> Any:
    """The ``openvino`` module.

    On import, OpenVINO starts a process that reports its use over the network, unless the package that does
    so cannot be imported. llmrec reaches no network that the user did not ask for.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def cpu_precision(core: Any, precision: str, setting: str) -> str:
    """OpenVINO's name of the precision that the CPU computes in.

    Args:
        core: an ``openvino.Core``.
        precision: ``float32``, ``bfloat16``, or ``auto`` for bfloat16 where the hardware has it.
        setting: what errors call the setting.

    Raises:
        ConfigError: bfloat16 is asked for and the CPU lacks it.
    """
    in_hardware = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bfloat16" and not in_hardware:
        raise ConfigError(f"{setting} is bfloat16, but this CPU does not compute in it", 'Set it to "auto".')
    return "bf16" if in_hardware and precision != "float32" else "f32"
