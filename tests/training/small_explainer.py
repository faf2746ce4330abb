"""A tiny chat model in a GGUF file, and a shop of which it writes explanations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from shop import write_events, write_items

from llmrec.config import FORMAT
from llmrec.indexing import IndexRun, Sources
from llmrec.training.settings import ExplainerSettings
from llmrec.workspace import Workspace

WIDTH, HEADS, KEYS, LAYERS, INNER = 32, 4, 2, 2, 64
"""Sizes of the tiny model: a head has 8 values, so that a wrong order of its rows shows."""
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TOPICS = ("garden", "kitchen", "music")
SETTINGS = ExplainerSettings.model_validate(
    {
        "examples": 100,
        "held_out_users": 8,
        "epochs": 2,
        "batch_size": 20,
        "max_tokens": 1500,
        "learning_rate": 1e-2,
        "evaluations": 2,
        "checked": 2,
        "lora": {"rank": 4, "dropout": 0.0},
    }
)


def write_tiny_gguf(path: Path, seed: int = 0, architecture: str = "llama") -> Path:
    """A two-layer llama of random weights, with a byte-level tokenizer and a chat template."""
    from gguf import GGMLQuantizationType, GGUFWriter, quants

    rng = np.random.default_rng(seed)
    vocabulary, merges = _tokenizer()
    writer = GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_file_type(7)
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(vocabulary) - len(SPECIAL)))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)

    def matrix(name: str, rows: int, columns: int) -> None:
        values = rng.normal(0, 0.3, (rows, columns)).astype(np.float32)
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(name, quants.quantize(values, kind), raw_dtype=kind)

    matrix("token_embd.weight", len(vocabulary), WIDTH)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(WIDTH, np.float32))
        for name, rows, columns in _shapes():
            matrix(f"blk.{layer}.{name}.weight", rows, columns)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _shapes() -> list[tuple[str, int, int]]:
    keys = WIDTH // HEADS * KEYS
    return [
        *(("attn_q", WIDTH, WIDTH), ("attn_k", keys, WIDTH), ("attn_v", keys, WIDTH)),
        *(("attn_output", WIDTH, WIDTH), ("ffn_gate", INNER, WIDTH), ("ffn_up", INNER, WIDTH)),
        ("ffn_down", WIDTH, INNER),
    ]


def _tokenizer() -> tuple[list[str], list[str]]:
    """Tokens and merges, learnt from what explanations are made of, in a text of its own.

    Were that the prompt in use, its every new wording would make another random model.
    """
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[*SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    words = Path(__file__).with_name("tiny_vocabulary.txt")
    texts = [words.read_text(encoding="utf-8")] * 3 + [str(row) for row in item_rows()]
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return sorted(model["vocab"], key=model["vocab"].__getitem__), pairs


def item_rows() -> list[dict[str, object]]:
    """Twenty-four items in three topics."""
    return [
        {
            "item_id": f"i{number}",
            "title": f"The {TOPICS[number % 3].title()} Book {number}",
            "description": f"A book about the {TOPICS[number % 3]}, with {number} pictures of a tool.",
            "categories": [TOPICS[number % 3].title(), "Book"],
        }
        for number in range(24)
    ]


def event_rows(users: int = 40) -> list[dict[str, object]]:
    """Users with seven events each, of one topic."""
    rng = np.random.default_rng(0)
    return [
        {
            "user_id": f"u{user}",
            "item_id": f"i{3 * place + user % 3}",
            "timestamp": 1_600_000_000 + 100 * user + step,
        }
        for user in range(users)
        for step, place in enumerate(rng.permutation(8)[:7])
    ]


def index(root: Path, explainer: str, rows: Sequence[dict[str, object]] | None = None) -> Path:
    """A workspace of the shop with an explainer; its encoder is a test plug-in."""
    root.mkdir(parents=True)
    models = f'[models]\nencoder = "plugin:words"\nexplainer = "{explainer}"\n'
    fusion = '[rank]\nfusion = "weighted"\nweights.sequence = 0\n'
    (root / "llmrec.toml").write_text(f'format = {FORMAT}\nprofile = "small"\n{models}{fusion}', "utf-8")
    catalog = write_items(root.with_name(f"{root.name}-items.jsonl"), item_rows())
    logs: tuple[Path, ...] = ()
    if rows is None or rows:
        logs = (write_events(root.with_name(f"{root.name}-log.csv"), [*(rows or event_rows())]),)
    workspace = Workspace(root)
    IndexRun(workspace, Sources(catalog, logs))()
    workspace.close()
    return root


def noisy(model: Any, size: float = 0.1, seed: int = 0) -> Any:
    """A model whose adapter has random weights."""
    import torch

    torch.manual_seed(seed)
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=size)
    return model.eval()
