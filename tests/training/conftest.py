"""The small log's corpus and the tiny model's folder, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_training import Bench, bench, write_tiny_bert


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Bench:
    return bench(tmp_path_factory.mktemp("corpus"), model_folder)
