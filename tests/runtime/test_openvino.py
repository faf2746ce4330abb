from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, socket, sys, threading, time
os.environ.pop("CI", None)
os.fork = lambda: sys.exit("a process was started")
connect = lambda *_: os._exit(9)
socket.socket.connect = connect
from llmrec.runtime.openvino import import_openvino
assert import_openvino().Core().available_devices
time.sleep(0.5)
assert [thread.name for thread in threading.enumerate()] == ["MainThread"], threading.enumerate()
"""


def test_openvino_reports_nothing_over_the_network() -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    plain = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("import_openvino()", "__import__('openvino')")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert plain.returncode != 0, "OpenVINO no longer reports its use: llmrec.runtime.openvino can go"


INTERRUPTED = """
import gc, os, signal
from llmrec.runtime.openvino import cpu_core
signal.signal(signal.SIGINT, signal.default_int_handler)
loaded = [cpu_core() for _ in range(3)]
while loaded:
    loaded.pop(0)
    gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("options", [[], ["-X", "faulthandler"]])
def test_an_interruption_after_models_are_gone_is_no_crash(options: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, *options, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stdout) == (0, "interrupted\n"), result.stderr
