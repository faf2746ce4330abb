"""What there is to compute on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from llmrec.runtime.devices import cores, device_name


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinities")
def test_only_cores_that_may_be_used_are_counted() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from llmrec.runtime.devices import cores; print(cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_the_device_is_told_with_its_cores() -> None:
    assert f", {cores()} cores, " in device_name() or "(CUDA)" in device_name()
