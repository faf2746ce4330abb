"""A transformers folder as explainer: a tiny model of random weights, alone and in batches."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from training.small_explainer import TEMPLATE

from llmrec.config import ExplainSettings
from llmrec.errors import AssetError, UnsafeFileError
from llmrec.explain.generator import GenerationError, Question, load_generator
from llmrec.explain.torch_generator import TorchGenerator, load_torch
from llmrec.progress import NoProgress

pytestmark = pytest.mark.slow

QUESTIONS = [
    Question("Explain.", "Why?", 12),
    Question("Explain.", "Why this film, and why not any of the others that are as long?", 12),
    Question("Say why.", "Antz", 5),
]


def write_chat_folder(folder: Path, seed: int = 0, **options: Any) -> Path:
    """A two-layer llama that reads bytes. Its random weights are large, so that answers differ."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({word: at for at, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    kept = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=words[1], eos_token=words[2])
    kept.chat_template = TEMPLATE
    kept.save_pretrained(folder)
    shape = {
        "vocab_size": len(words),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(**{**shape, **options})).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chat_folder(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module")
def generator(folder: Path) -> TorchGenerator:
    return load_torch(folder, "tiny", ExplainSettings(precision="float32", batch_size=2))


def by_hand(generator: TorchGenerator, question: Question) -> str:
    """The greedy answer."""
    return generator._tokenizer.text(greedy(generator, question)).strip()


def greedy(generator: TorchGenerator, question: Question) -> list[int]:
    """The ids of the greedy answer, token by token without a cache."""
    import torch

    tokenizer = generator._tokenizer
    ids = tokenizer.prompt(question.system, question.user)
    begin = len(ids)
    while len(ids) < begin + question.max_tokens:
        with torch.inference_mode():
            token = int(generator._model(torch.tensor([ids])).logits[0, -1].argmax())
        if token == tokenizer.end:
            break
        ids.append(token)
    return ids[begin:]


def test_a_batch_gives_what_each_question_gives_alone(generator: TorchGenerator) -> None:
    expected = [by_hand(generator, question) for question in QUESTIONS]
    assert len(set(expected)) == 3
    assert all(expected)
    assert generator.generate_all(QUESTIONS, timeout=120) == expected
    assert [generator.generate_all([question], timeout=120)[0] for question in QUESTIONS] == expected
    question = QUESTIONS[0]
    assert generator.generate(question.system, question.user, max_tokens=12, timeout=120) == expected[0]


def test_an_answer_is_told_while_it_is_written(generator: TorchGenerator) -> None:
    told: list[str] = []
    (answer,) = generator.generate_all(QUESTIONS[:1], timeout=120, told=told.append)
    assert len(told) == 12
    assert told[-1] == answer


def test_a_prompt_that_does_not_fit_does_not_touch_the_others(generator: TorchGenerator) -> None:
    long = Question("Explain.", "word " * 300, 12)
    first, second, third = generator.generate_all([QUESTIONS[0], long, QUESTIONS[2]], timeout=120)
    assert (first, third) == tuple(by_hand(generator, QUESTIONS[at]) for at in (0, 2))
    assert isinstance(second, GenerationError)
    assert "exceed the 256 of the model" in second.message


def test_a_late_answer_is_an_error_and_the_next_call_works(generator: TorchGenerator) -> None:
    (late,) = generator.generate_all([Question("Explain.", "Why?", 200)], timeout=0.001)
    assert isinstance(late, GenerationError)
    assert late.message == "no answer within 0.001 s"
    assert generator.generate_all(QUESTIONS[:1], timeout=120) == [by_hand(generator, QUESTIONS[0])]


def test_it_ends_where_the_model_says_so(tmp_path: Path) -> None:
    folder = write_chat_folder(tmp_path / "ends")
    unended = load_torch(folder, "tiny", ExplainSettings(precision="float32"))
    ids = greedy(unended, QUESTIONS[0])
    assert 0 < ids.index(ids[3]) < len(ids)
    settings = json.loads((folder / "generation_config.json").read_text("utf-8"))
    settings["eos_token_id"] = [2, ids[3]]
    (folder / "generation_config.json").write_text(json.dumps(settings), "utf-8")
    ended = load_torch(folder, "tiny", ExplainSettings(precision="float32"))
    (shorter,) = ended.generate_all(QUESTIONS[:1], timeout=120)
    assert shorter == unended._tokenizer.text(ids[: ids.index(ids[3])]).strip()


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "nf4"])
def test_it_is_loaded_by_its_folder_in_a_precision(folder: Path, precision: str) -> None:
    import torch

    if precision == "nf4" and find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed")
    settings = ExplainSettings.model_validate({"precision": precision})
    try:
        loaded = load_generator(f"file:{folder}", NoProgress(), settings)
    except Exception as error:
        if precision == "bfloat16" and "does not compute in it" in str(error):
            pytest.skip(str(error))
        raise
    assert isinstance(loaded, TorchGenerator)
    assert loaded.fingerprint.endswith(f":{precision}")
    layer = loaded._model.model.layers[0].mlp.up_proj.weight
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "nf4": torch.uint8}
    assert layer.dtype == dtypes[precision]
    answers = loaded.generate_all(QUESTIONS, timeout=300)
    assert all(isinstance(answer, str) and answer for answer in answers)


def test_pickled_weights_and_code_are_refused(tmp_path: Path, folder: Path) -> None:
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(UnsafeFileError, match=r"pytorch_model\.bin"):
        load_generator(f"file:{tmp_path}", NoProgress())
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(AssetError, match="cannot be loaded"):
        load_generator(f"file:{tmp_path}", NoProgress())
