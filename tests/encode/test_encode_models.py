"""The models that profiles name: pulled from the package registry once, see ``model_home``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llmrec import assets
from llmrec.config import EncoderSettings
from llmrec.encode import load_encoder, load_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_home")]

MINILM = "all-minilm-l6-v2"
SMOLLM = "smollm2-135m-instruct"
TEXTS = [
    "Toy Story (1995). Animation, Children, Comedy. A cowboy doll is profoundly threatened by a new toy.",
    "Heat (1995). Action, Crime, Thriller. A group of professional bank robbers feel the heat from police.",
    "warm waterproof jacket",
    "Ein Film über das Kochen in Paris",
    "Naïve café, 日本語 😀",
    "long " * 600,
]


@pytest.mark.parametrize(
    ("engine", "precision", "least"),
    [("torch", "float32", 0.99999), ("openvino", "float32", 0.99999), ("openvino", "auto", 0.999)],
)
def test_minilm_gives_what_sentence_transformers_gives(engine: str, precision: str, least: float) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = load_encoder(MINILM, EncoderSettings(engine=engine, precision=precision))
    reference = SentenceTransformer(str(assets.resolve(MINILM)), device="cpu", local_files_only=True)
    expected = reference.encode(TEXTS, normalize_embeddings=True)
    assert (encoder.encode(TEXTS) * expected).sum(axis=1).min() > least
    assert (encoder.dimension, encoder.max_tokens) == (384, 254)


def test_minilm_finds_the_film_that_is_meant() -> None:
    encoder = load_encoder(MINILM, EncoderSettings())
    scores = encoder.encode(TEXTS[:3]) @ encoder.encode(["bank robbery"], kind="query")[0]
    assert scores.argmax() == 1


def test_minilm_tokens() -> None:
    tokenizer = load_tokenizer(MINILM, EncoderSettings())
    assert tokenizer.count_tokens(["", "hello world", "embeddings"]) == [0, 2, 4]
    assert tokenizer.cut("Hello brave new world", 2) == "Hello brave"


def test_smollm_gives_what_llama_cpp_gives() -> None:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(assets.resolve(SMOLLM))
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 1024
    parameters.embedding = True
    parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_LAST
    # llama.cpp computes in 8 bits, which strays where one word repeats hundreds of times (0.997): not there.
    texts = [text for text in TEXTS if not text.startswith("long")]
    answer = xllamacpp.Server(parameters).handle_embeddings({"input": texts, "model": SMOLLM})
    expected = np.array([entry["embedding"] for entry in answer["data"]])
    for engine in ("torch", "openvino"):
        encoder = load_encoder(SMOLLM, EncoderSettings(engine=engine, precision="float32"))
        assert (encoder.encode(texts) * expected).sum(axis=1).min() > 0.999
        assert encoder.dimension == 576


def test_smollm_tokens_are_those_of_the_file(model_home: Path) -> None:
    from gguf import GGUFReader
    from tokenizers import Tokenizer

    load_tokenizer(SMOLLM, EncoderSettings())
    vocabulary = GGUFReader(assets.resolve(SMOLLM)).fields["tokenizer.ggml.tokens"].contents()
    folder = model_home / "engines" / assets.fingerprint(SMOLLM)[:32] / "gguf"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert [tokenizer.id_to_token(i) for i in range(len(vocabulary))] == vocabulary
    assert tokenizer.encode("Hello world in 1999").tokens == [*("Hello", "Ġworld", "Ġin", "Ġ"), *"1999"]
    # llama.cpp's ids of superscript and Arabic digits, which only a split into digits gives.
    assert tokenizer.encode("x²½ ٣٤").ids == [104, 19133, 16738, 216, 164, 113, 164, 114]
