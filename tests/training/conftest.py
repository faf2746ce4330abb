"""What tests of training share: the small log's corpus, tiny models, and pictures that a captioner learns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_captioner import tiny_blip, workspace_at, write_pairs
from small_training import Bench, bench, write_tiny_bert

from llmrec.config import MediaSettings
from llmrec.training.captioner.pairs import Pairs, read_pairs
from llmrec.workspace import Workspace


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Bench:
    return bench(tmp_path_factory.mktemp("corpus"), model_folder)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BLIP in ``blip`` and pictures in ``pictures``."""
    folder = tmp_path_factory.mktemp("source")
    tiny_blip(folder / "blip")
    write_pairs(folder / "pictures")
    return folder


@pytest.fixture
def opened(source: Path, tmp_path: Path) -> Iterator[Workspace]:
    workspace = workspace_at(tmp_path / "w", f"file:{source / 'blip'}")
    yield workspace
    workspace.close()


@pytest.fixture
def pairs(source: Path) -> Pairs:
    return read_pairs(source / "pictures", MediaSettings())
