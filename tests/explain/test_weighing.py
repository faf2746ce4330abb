"""The real model in both engines: the same text is as likely in llama.cpp as in transformers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrec.encode.gguf import model_folder_of
from llmrec.errors import AssetError
from llmrec.explain import template
from llmrec.explain.evidence import gather
from llmrec.explain.explainer import messages
from llmrec.explain.generator import gguf_file
from llmrec.explain.requantize import q8_0
from llmrec.explain.torch_model import ChatTokenizer, TorchModel
from llmrec.explain.weighing import WeighedLlama
from llmrec.progress import NoProgress
from llmrec.prompts import load_prompt
from llmrec.runtime.folders import engine_folder
from tests.explain.catalog import CASE

pytestmark = pytest.mark.slow
SPEC = "smollm2-135m-instruct"
AWKWARD = 'Naïve café 日本語 😀 "quoted" \\ [1] 1999.'


@pytest.fixture(scope="module")
def home(shared_home: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMREC_HOME", str(shared_home))
        yield shared_home


@pytest.fixture(scope="module")
def file(home: Path) -> Path:
    return gguf_file(SPEC, NoProgress())


@pytest.fixture(scope="module")
def folder(home: Path, file: Path) -> Path:
    return model_folder_of(file, engine_folder(SPEC, "gguf"), NoProgress())


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> ChatTokenizer:
    return ChatTokenizer(folder)


@pytest.fixture(scope="module")
def shipped(file: Path, tokenizer: ChatTokenizer) -> WeighedLlama:
    return WeighedLlama(file, tokenizer)


@pytest.fixture(scope="module")
def reference(folder: Path, tokenizer: ChatTokenizer) -> TorchModel:
    return TorchModel(folder, tokenizer, "float32")


def losses(model: WeighedLlama | TorchModel, tokenizer: ChatTokenizer) -> np.ndarray:
    """Nats a token of a true explanation, a false one, and a text of many bytes a character."""
    evidence = gather(CASE)
    asked = messages(load_prompt("explain"), CASE.item, evidence)
    texts = [template.write(CASE.item, evidence), "jacket jacket rain 1 2 3 love", AWKWARD]
    found = [model.log_probabilities(*asked, tokenizer.tokens(text)) for text in texts]
    assert all(np.nanmax(values) <= 0 for values in found)
    return np.array([-np.nanmean(values) for values in found])


def test_both_engines_agree(shipped: WeighedLlama, reference: TorchModel, tokenizer: ChatTokenizer) -> None:
    ours, theirs = losses(shipped, tokenizer), losses(reference, tokenizer)
    np.testing.assert_allclose(ours[:2], theirs[:2], rtol=0.05)  # the last text has half characters
    assert theirs[0] < 0.5 * theirs[1], "a true explanation is likelier"
    np.testing.assert_allclose(losses(shipped, tokenizer), ours, atol=0.02)


def test_half_a_character_is_not_told_of(
    shipped: WeighedLlama, reference: TorchModel, tokenizer: ChatTokenizer
) -> None:
    tokens = tokenizer.tokens("a 日本語 😀 b")
    ours, theirs = (model.log_probabilities("Say it.", "Well?", tokens) for model in (shipped, reference))
    told = np.isfinite(ours)
    assert np.isfinite(theirs).all()
    assert 0 < told.sum() < len(tokens)
    assert told[[0, -1]].all()
    np.testing.assert_allclose(ours[told], theirs[told], atol=0.5)


def test_the_prompt_is_the_one_that_llama_cpp_makes(shipped: WeighedLlama, tokenizer: ChatTokenizer) -> None:
    answers: list[dict[str, Any]] = []
    messages = [{"role": "system", "content": "Explain."}, {"role": "user", "content": f"Why {AWKWARD}?"}]
    shipped._server.handle_chat_completions({"messages": messages, "max_tokens": 1}, answers.append)
    found = answers[-1]["usage"]["prompt_tokens"]
    assert found == len(tokenizer.prompt("Explain.", f"Why {AWKWARD}?"))


def test_eight_bits_are_near(file: Path, reference: TorchModel, tokenizer: ChatTokenizer, home: Path) -> None:
    model = WeighedLlama(q8_0(file, engine_folder(SPEC, "gguf-q8_0")), tokenizer)
    assert model.weight_bytes > file.stat().st_size
    # The last text has tokens that llama.cpp does not tell of.
    np.testing.assert_allclose(losses(model, tokenizer)[:2], losses(reference, tokenizer)[:2], rtol=0.05)
    assert model.pace("Count.", "Count to ten.", 8) > 0


def test_four_bits_are_farther(folder: Path, reference: TorchModel, tokenizer: ChatTokenizer) -> None:
    model = TorchModel(folder, tokenizer, "nf4")
    assert model.weight_bytes < 0.3 * reference.weight_bytes
    expected, found = (losses(which, tokenizer) for which in (reference, model))
    assert 0.005 < np.abs(found - expected).max() < 1
    assert model.pace("Count.", "Count to ten.", 4) > 0


def test_a_folder_without_a_chat_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="the tokenizer cannot be loaded"):
        ChatTokenizer(tmp_path)
