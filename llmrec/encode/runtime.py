"""OpenVINO, without its usage reports."""

from __future__ import annotations

import sys
from typing import Any


def import_openvino() -> Any:
    """The ``openvino`` module.

    On import, OpenVINO starts a process that reports its use over the network, unless the package that does
    so cannot be imported. llmrec reaches no network that the user did not ask for.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino
