"""The contract on an averaging model that is made by hand, so that all but the transformer is tested fast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from encoder_contract import EncoderContract
from tiny_models import write_byte_bpe, write_configuration, write_mean_of_embeddings, write_wordpiece

from llmrec.encode import Encoder
from llmrec.encode.folder import read_model_folder
from llmrec.encode.openvino_engine import OpenVinoEngine
from llmrec.encode.tokens import FolderTokenizer
from llmrec.encode.transformer import TransformerEncoder
from llmrec.errors import AssetError


@pytest.fixture(scope="module", params=[write_wordpiece, write_byte_bpe])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("averaging")
    write_configuration(folder)
    vocabulary = request.param(folder)
    table = np.random.default_rng(0).normal(size=(vocabulary, 8)).astype(np.float32)
    write_mean_of_embeddings(folder / "model.xml", table)
    return folder


def averaging(path: Path, batch_size: int = 16) -> Encoder:
    folder = read_model_folder(path, "averaging")
    engine = OpenVinoEngine(path / "model.xml", "float32")
    return TransformerEncoder(folder, "a1", FolderTokenizer(folder, None), engine, batch_size=batch_size)


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    return averaging(folder)


@pytest.fixture(scope="module")
def other_batches(folder: Path) -> Encoder:
    return averaging(folder, batch_size=1)


class TestAveragingModel(EncoderContract):
    pass


@pytest.mark.parametrize("damage", [np.nan, 0.0])
def test_damaged_weights_are_noticed(tmp_path: Path, damage: float) -> None:
    write_configuration(tmp_path)
    table = np.full((write_wordpiece(tmp_path), 8), damage, dtype=np.float32)
    write_mean_of_embeddings(tmp_path / "model.xml", table)
    with pytest.raises(AssetError, match=r"averaging: .* weights are damaged"):
        averaging(tmp_path).encode(["rain"])
