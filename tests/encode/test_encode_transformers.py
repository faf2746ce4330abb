"""The contract on real architectures with random weights, and their vectors against other libraries'."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from encoder_contract import AWKWARD, TEXTS, EncoderContract
from safetensors.numpy import save_file
from tiny_models import write_configuration, write_json, write_tiny_bert, write_tiny_llama

from llmrec.config import EncoderSettings
from llmrec.encode import Encoder, encoder_fingerprint, load_encoder, load_tokenizer
from llmrec.errors import AssetError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[write_tiny_bert, write_tiny_llama], ids=["bert", "llama"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMREC_HOME", str(tmp_path_factory.mktemp("home")))
        yield request.param(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module", params=["torch", "openvino"])
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def encoder(model: Path, engine: str) -> Encoder:
    return load_encoder(f"file:{model}", EncoderSettings(engine=engine, precision="float32"))


@pytest.fixture(scope="module")
def other_batches(model: Path, engine: str) -> Encoder:
    return load_encoder(f"file:{model}", EncoderSettings(engine=engine, precision="float32", batch_size=1))


class TestTransformers(EncoderContract):
    pass


def test_vectors_are_those_of_the_model_run_alone_and_unpadded(encoder: Encoder, model: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    causal = not (model / "modules.json").exists()
    limit = 96 if causal else 32
    tokenizer, reference = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model).eval()
    # One token, two, and every length up to what fits.
    texts = [*TEXTS, *(text for text in AWKWARD if text.isprintable() and text), "a " * 40, "a " * 200, "a"]
    expected = []
    for text in texts:
        prompt = "" if causal else "war: "
        ids = tokenizer(prompt + text, truncation=True, max_length=limit, padding=False, return_tensors="pt")
        with torch.no_grad():
            hidden = reference(input_ids=ids["input_ids"]).last_hidden_state[0]
        vector = (hidden[-1] if causal else hidden.mean(0)).numpy()
        expected.append(vector / np.linalg.norm(vector))
    np.testing.assert_allclose(encoder.encode(texts), np.stack(expected), atol=2e-5)


def test_a_sentence_transformers_folder_gives_what_that_library_gives(tmp_path: Path, engine: str) -> None:
    from sentence_transformers import SentenceTransformer

    folder = write_tiny_bert(tmp_path / "model")
    encoder = load_encoder(f"file:{folder}", EncoderSettings(engine=engine, precision="float32"))
    reference = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    texts = [text for text in TEXTS + AWKWARD if text.isascii()]
    for kind, prompt in {"item": "document", "user": "query", "query": "query"}.items():
        expected = reference.encode(texts, prompt_name=prompt, normalize_embeddings=True)
        np.testing.assert_allclose(encoder.encode(texts, kind=kind), expected, atol=2e-5)
    assert not np.allclose(encoder.encode(["rain"], kind="query"), encoder.encode(["rain"], kind="item"))


def test_one_fingerprint_for_all_engines(encoder: Encoder, model: Path) -> None:
    assert encoder.fingerprint == encoder_fingerprint(f"file:{model}", EncoderSettings())
    tokenizer = load_tokenizer(f"file:{model}", EncoderSettings())
    assert tokenizer.max_tokens == encoder.max_tokens
    assert tokenizer.count_tokens(TEXTS) == encoder.count_tokens(TEXTS)


def test_a_damaged_conversion_is_made_again(tmp_path: Path, isolated_home: Path) -> None:
    spec = f"file:{write_tiny_bert(tmp_path / 'model')}"
    settings = EncoderSettings(engine="openvino", precision="float32")
    expected = load_encoder(spec, settings).encode(TEXTS)
    (weights,) = isolated_home.glob("engines/*/openvino/model.bin")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:500] + bytes([whole[500] ^ 0xFF]) + whole[501:])
    np.testing.assert_array_equal(load_encoder(spec, settings).encode(TEXTS), expected)
    assert weights.read_bytes() == whole


def test_a_gguf_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(AssetError, match=r"cut\.gguf: cannot be read"):
        load_encoder(f"file:{tmp_path / 'cut.gguf'}", EncoderSettings())


def test_weights_that_do_not_fit_the_configuration_are_named(tmp_path: Path, engine: str) -> None:
    write_configuration(tmp_path / "model")
    change = {"hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 8}
    configuration = json.loads((tmp_path / "model" / "config.json").read_text()) | change
    write_json(tmp_path / "model" / "config.json", configuration)
    save_file(
        {"embeddings.word_embeddings.weight": np.ones((3, 5), np.float32)},
        tmp_path / "model" / "model.safetensors",
    )
    with pytest.raises(AssetError, match=r"model: the model cannot be loaded"):
        load_encoder(f"file:{tmp_path / 'model'}", EncoderSettings(engine=engine))


def test_a_converted_model_runs_without_torch(tmp_path: Path) -> None:
    spec = f"file:{write_tiny_bert(tmp_path / 'model')}"
    expected = load_encoder(spec, EncoderSettings(engine="openvino", precision="float32")).encode(["rain"])
    program = f"""
import sys
from llmrec.config import EncoderSettings
from llmrec.encode import load_encoder
encoder = load_encoder({spec!r}, EncoderSettings(engine="openvino", precision="float32"))
print(encoder.encode(["rain"])[0].tolist())
print(sorted({{"torch", "transformers", "sentence_transformers"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    vector, imported = done.stdout.splitlines()
    assert imported == "[]"
    np.testing.assert_allclose(np.array(eval(vector)), expected[0], atol=1e-6)
