"""Every test gets its own empty cache and may not reach a model hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def model_home() -> Iterator[Path]:
    """The cache of real models, kept between runs; fixtures of session or module scope load from it."""
    home = Path(os.environ.get("LLMREC_TEST_HOME", "~/.cache/llmrec-tests")).expanduser()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMREC_HOME", str(home))
        yield home


@pytest.fixture(autouse=True)
def isolated_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh ``LLMREC_HOME`` for each test; slow tests that need real models use ``model_home``."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("LLMREC_HOME", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return home
