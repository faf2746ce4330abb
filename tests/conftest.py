"""Every test gets its own empty cache, finds the test plug-ins, and may not reach a model hub."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parent / "plugins"


def pytest_configure() -> None:
    """Give each of several workers (pytest-xdist) its own share of the cores, also for what it starts.

    Else each would run as many threads as there are cores, and they would wait for each other.
    """
    worker, count = (os.environ.get(f"PYTEST_XDIST_WORKER{name}") for name in ("", "_COUNT"))
    if worker and count and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if mine := cores[int(worker.removeprefix("gw")) :: int(count)]:
            os.sched_setaffinity(0, mine)


@pytest.fixture(scope="session")
def shared_home() -> Path:
    """A ``LLMREC_HOME`` that outlives the run (``LLMREC_TEST_HOME``), so that models are pulled once."""
    return Path(os.environ.get("LLMREC_TEST_HOME", "~/.cache/llmrec-tests")).expanduser()


@pytest.fixture(autouse=True)
def isolated_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh ``LLMREC_HOME`` for each test; slow tests that need real models use ``model_home``."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("LLMREC_HOME", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("LLMREC_WORKSPACE", raising=False)
    path = os.pathsep.join(filter(None, [str(PLUGINS), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.syspath_prepend(str(PLUGINS))
    return home


@pytest.fixture
def model_home(isolated_home: Path, shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shared ``LLMREC_HOME`` in the place of the test's own."""
    monkeypatch.setenv("LLMREC_HOME", str(shared_home))
    return shared_home
