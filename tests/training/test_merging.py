"""A merged model gives the vectors of its base with the adapter, whoever loads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_training import CURVE, adapted, write_tiny_bert, write_tiny_llama

from llmrec.config import EncoderSettings
from llmrec.encode import load_encoder
from llmrec.encode.folder import read_model_folder
from llmrec.errors import AdapterError
from llmrec.progress import NoProgress
from llmrec.training.adapter import Adapter, write_folder
from llmrec.training.lora import AdapterState
from llmrec.training.merging import merged_folder, write_merged

TEXTS = ["w1 w2 w3", "w5", "w9 w8 w8 w1 w40 w41 w42"]
CARD = {
    "base": {"name": "file:tiny", "fingerprint": "0" * 64, "licence": None},
    "data": {"pairs": 1, "end": 0.0},
    "protocol": {"split": "leave-last-out", "stage": "validation"},
    "metrics": {"before": {"ndcg@10": 0.1}, "after": {"ndcg@10": 0.2}},
    "settings": {"max_tokens": 12},
}


def write_adapter(model: Any, folder: Path, card: dict[str, Any] = CARD) -> Adapter:
    write_folder(card, CURVE, folder, partial(AdapterState("file:tiny").write, model))
    return Adapter.open(folder)


def with_modules(folder: Path) -> Path:
    """The tiny BERT as older sentence-transformers kept models: in a subfolder, with a projection."""
    import torch
    from safetensors.torch import save_file

    write_tiny_bert(folder / "0_Transformer")
    shorter = {"max_seq_length": 16, "do_lower_case": True}
    write_json(folder / "0_Transformer" / "sentence_bert_config.json", shorter)
    kinds = ("Transformer", "Pooling", "Dense")
    write_json(
        folder / "modules.json",
        [
            {
                "idx": at,
                "name": str(at),
                "path": f"{at}_{kind}",
                "type": f"sentence_transformers.models.{kind}",
            }
            for at, kind in enumerate(kinds)
        ],
    )
    write_json(
        folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, "pooling_mode_cls_token": True}
    )
    activation = "torch.nn.modules.activation.Tanh"
    dense = {"in_features": 32, "out_features": 8, "bias": False, "activation_function": activation}
    write_json(folder / "2_Dense" / "config.json", dense)
    torch.manual_seed(1)
    save_file({"linear.weight": torch.randn(8, 32)}, folder / "2_Dense" / "model.safetensors")
    write_json(
        folder / "config_sentence_transformers.json", {"prompts": {"query": "w60 ", "document": "w61 "}}
    )
    return folder


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.mark.parametrize("write", [write_tiny_bert, write_tiny_llama, with_modules])
def test_any_loader_gives_the_vectors_of_base_and_adapter(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    from sentence_transformers import SentenceTransformer

    base = write(tmp_path / "tiny")
    model = adapted(base)
    expected = model.encode(TEXTS, normalize_embeddings=True)
    folder, out = read_model_folder(base, "tiny"), tmp_path / "out"
    out.mkdir()
    write_merged(write_adapter(model, tmp_path / "a"), folder, out, NoProgress())
    plain = SentenceTransformer(str(out), device="cpu").encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(plain, expected, atol=1e-5)
    settings = EncoderSettings(engine="torch", precision="float32")
    ours, before = (load_encoder(f"file:{path}", settings) for path in (out, base))
    asked = ours.encode(TEXTS, kind="query")
    assert np.abs(asked - before.encode(TEXTS, kind="query")).max() > 0.01, "the adapter changes nothing"
    if not folder.prompts:
        np.testing.assert_allclose(asked, expected, atol=1e-5)
    merged = read_model_folder(out, "tiny")
    assert merged.trained_tokens == 12
    for name in ("position_tokens", "prompts", "pad_token", "blank_token", "lower_case"):
        assert getattr(merged, name) == getattr(folder, name), name
    assert not [path for path in out.rglob("*") if path.suffix in {".bin", ".pt"}]


def test_texts_are_read_as_far_as_the_adapter_was_trained(tmp_path: Path) -> None:
    base = write_tiny_bert(tmp_path / "tiny")
    out = tmp_path / "out"
    out.mkdir()
    adapter = write_adapter(adapted(base), tmp_path / "a")
    write_merged(adapter, read_model_folder(base, "tiny"), out, NoProgress())
    settings = EncoderSettings(engine="torch", precision="float32")
    vectors = load_encoder(f"file:{out}", settings).encode(["w1 " * 10, "w1 " * 10 + "w2", "w1 " * 9 + "w2"])
    np.testing.assert_allclose(vectors[1], vectors[0], atol=1e-6)  # 12 tokens, two of them special
    assert np.abs(vectors[2] - vectors[0]).max() > 1e-3


@pytest.mark.slow
def test_the_engine_for_cpus_runs_it(tmp_path: Path) -> None:
    base = write_tiny_bert(tmp_path / "tiny")
    model = adapted(base)
    out = tmp_path / "out"
    out.mkdir()
    write_merged(write_adapter(model, tmp_path / "a"), read_model_folder(base, "tiny"), out, NoProgress())
    encoder = load_encoder(f"file:{out}", EncoderSettings(engine="openvino", precision="float32"))
    np.testing.assert_allclose(
        encoder.encode(TEXTS), model.encode(TEXTS, normalize_embeddings=True), atol=1e-4
    )


def test_a_merged_folder_is_made_once_and_again_where_it_is_damaged(tmp_path: Path) -> None:
    base = read_model_folder(write_tiny_bert(tmp_path / "tiny"), "tiny")
    adapter = write_adapter(adapted(base.path), tmp_path / "a")
    out = merged_folder(adapter, base, tmp_path / "out", NoProgress())
    weights = out / "model.safetensors"
    content, written = weights.read_bytes(), weights.stat().st_mtime_ns
    merged_folder(adapter, base, out, NoProgress())
    assert weights.stat().st_mtime_ns == written
    weights.write_bytes(content[:-1])
    merged_folder(adapter, base, out, NoProgress())
    assert weights.read_bytes() == content, "the same weights again"
    shutil.rmtree(tmp_path / "a")
    other = write_adapter(adapted(base.path, seed=1), tmp_path / "a")
    assert merged_folder(other, base, out, NoProgress()) == out
    assert weights.read_bytes() != content, "of another adapter"


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    base = read_model_folder(write_tiny_bert(tmp_path / "tiny"), "tiny")
    target = tmp_path / "out"
    target.mkdir()
    llama = write_adapter(adapted(write_tiny_llama(tmp_path / "llama")), tmp_path / "other")
    with pytest.raises(AdapterError, match="does not fit the model"):
        write_merged(llama, base, target, NoProgress())
    broken = write_adapter(adapted(base.path, size=1e38), tmp_path / "broken")
    with pytest.raises(AdapterError, match="seems to be broken"):
        write_merged(broken, base, target, NoProgress())
    assert not [*target.iterdir()]
