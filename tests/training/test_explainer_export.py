"""The exported file is the model that was trained: same weights, same probabilities, same tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_explainer import noisy, write_tiny_gguf

from llmrec.encode.folder import ModelFolder, read_model_folder
from llmrec.encode.gguf import model_folder_of
from llmrec.errors import AdapterError, ConfigError
from llmrec.explain.llama import LlamaCpp
from llmrec.explain.torch_model import load_causal
from llmrec.progress import NoProgress
from llmrec.training.explainer.examples import Tokens
from llmrec.training.explainer.export import check_exportable, export
from llmrec.training.lora import adapted_layers, add_adapter, write_adapter
from llmrec.training.settings import LoraSettings


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def folder(gguf: Path) -> ModelFolder:
    return read_model_folder(model_folder_of(gguf, gguf.parent / "folder", NoProgress()), "tiny")


def adapted(folder: ModelFolder) -> Any:
    model = load_causal(folder.path, "cpu", torch.float32)
    add_adapter(model, LoraSettings(rank=4), 0)
    return model


def tensors(gguf: Path) -> dict[str, Any]:
    from gguf import GGUFReader

    return {tensor.name: tensor for tensor in GGUFReader(gguf).tensors}


def top(gguf: Path, ids: list[int]) -> dict[int, float]:
    """Logarithms of probabilities of the likeliest next tokens by llama.cpp."""
    answers: list[dict[str, Any]] = []
    asked = {"prompt": ids, "max_tokens": 1, "temperature": 0, "logprobs": 5}
    LlamaCpp(gguf, "test")._server.handle_completions(asked, answers.append)
    (token,) = answers[-1]["choices"][0]["logprobs"]["content"]
    return {entry["id"]: entry["logprob"] for entry in token["top_logprobs"]}


def test_the_file_holds_the_merged_weights(gguf: Path, folder: ModelFolder, tmp_path: Path) -> None:
    model = noisy(adapted(folder))
    write_adapter(model, tmp_path / "a", "tiny")
    export(gguf, tmp_path / "a", tmp_path / "out.gguf", "f16", "tiny + a")
    # transformers puts the rows of queries and keys back in its own order, by code that is not ours.
    again = model_folder_of(tmp_path / "out.gguf", tmp_path / "folder", NoProgress())
    found = load_causal(again, "cpu", torch.float32).state_dict()
    plain = load_causal(folder.path, "cpu", torch.float32).state_dict()
    ours = model.state_dict()
    changed = 0
    for name, tensor in found.items():
        layer = name.removesuffix(".weight")
        expected = plain[name]
        if f"{layer}.lora_A.default.weight" in ours:
            halves = (ours[f"{layer}.lora_{half}.default.weight"] for half in "BA")
            expected = expected + 32 / 4 * next(halves) @ next(halves)
            changed += 1
        np.testing.assert_allclose(tensor.numpy(), expected.numpy(), atol=2e-3, err_msg=name)
    assert changed == 14
    before, after = tensors(gguf), tensors(tmp_path / "out.gguf")
    assert before.keys() == after.keys()
    same = [name for name in before if np.array_equal(before[name].data, after[name].data)]
    assert len(same) == len(before) - 14
    assert "token_embd.weight" in same, "what the adapter does not change is copied"


@pytest.mark.parametrize("weights", ["q8_0", "f16"])
def test_llama_cpp_gives_the_probabilities_of_torch(
    gguf: Path, folder: ModelFolder, tmp_path: Path, weights: str
) -> None:
    model = noisy(adapted(folder))
    write_adapter(model, tmp_path / "a", "tiny")
    export(gguf, tmp_path / "a", tmp_path / "out.gguf", weights, "tiny + a")
    example = Tokens(folder)("You explain.", "[1] Garden, Book", "It may suit you [1].")
    ids = [*example.prompt]
    with torch.inference_mode():
        expected = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1], -1)
        unchanged = load_causal(folder.path, "cpu", torch.float32)
        base = torch.log_softmax(unchanged(torch.tensor([ids])).logits[0, -1], -1)
    found = top(tmp_path / "out.gguf", ids)
    assert len(found) == 5
    for token, value in found.items():
        assert value == pytest.approx(float(expected[token]), abs=0.05)
    assert max(abs(value - float(base[token])) for token, value in found.items()) > 0.5


def test_an_untrained_adapter_changes_nothing(gguf: Path, folder: ModelFolder, tmp_path: Path) -> None:
    write_adapter(adapted(folder), tmp_path / "a", "tiny")
    export(gguf, tmp_path / "a", tmp_path / "out.gguf", "q8_0", "tiny + a")
    before, after = tensors(gguf), tensors(tmp_path / "out.gguf")
    for name in before:
        np.testing.assert_array_equal(before[name].data, after[name].data)


def test_what_does_not_fit_is_refused(gguf: Path, folder: ModelFolder, tmp_path: Path) -> None:
    model = adapted(folder)
    with torch.no_grad():
        next(part for name, part in model.named_parameters() if "lora_B" in name).fill_(float("nan"))
    write_adapter(model, tmp_path / "broken", "tiny")
    with pytest.raises(AdapterError, match="not finite"):
        export(gguf, tmp_path / "broken", tmp_path / "out.gguf", "q8_0", "broken")
    other = write_tiny_gguf(tmp_path / "other.gguf", architecture="qwen2")
    with pytest.raises(ConfigError, match="'qwen2'"):
        check_exportable(other)
    check_exportable(gguf, adapted_layers(adapted(folder)))
    with pytest.raises(ConfigError, match=r"the layer model\.layers\.0\.mlp\.gate has no place"):
        check_exportable(gguf, ["model.layers.0.mlp.up_proj", "model.layers.0.mlp.gate"])


@pytest.mark.slow
def test_the_real_model_writes_the_same(model_home: Path, tmp_path: Path) -> None:
    from llmrec import assets
    from llmrec.encode.load import model_folder

    name = "smollm2-135m-instruct"
    folder, base = model_folder(name, NoProgress()), assets.resolve(name)
    model = adapted(folder)
    write_adapter(model, tmp_path / "a", name)
    export(base, tmp_path / "a", tmp_path / "out.gguf", "q8_0", "untrained")
    ids = [*Tokens(folder)("You are helpful.", "What is the capital of France?", "").prompt]
    before, after = top(base, ids), top(tmp_path / "out.gguf", ids)
    with torch.inference_mode():
        exact = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1], -1)
    # llama.cpp multiplies weights and states of few bits: of four, as the base file has, it errs more than of
    # eight. By 0.28 and 0.16 here, and in f16 by 0.05.
    off, base_off = (
        max(abs(value - float(exact[token])) for token, value in found.items()) for found in (after, before)
    )
    assert off < base_off
    assert off < 0.25
    shared = before.keys() & after.keys()
    assert len(shared) >= 3
    assert all(before[token] == pytest.approx(after[token], abs=0.5) for token in shared)
    said = LlamaCpp(tmp_path / "out.gguf", "test").generate(
        "You are helpful.", "What is the capital of France?", max_tokens=12, timeout=120
    )
    assert "Paris" in said
