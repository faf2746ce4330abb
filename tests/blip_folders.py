"""BLIP folders as the hub has them: with random weights, or without weights that can be loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 32
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
START, END = SPECIAL.index("[DEC]"), SPECIAL.index("[SEP]")
WORDS = [
    *(
        "a",
        "the",
        "of",
        "on",
        "in",
        "with",
        "two",
        "red",
        "blue",
        "dog",
        "cat",
        "man",
        "woman",
        "ball",
        "tree",
    ),
    *(
        "picture",
        "street",
        "beach",
        "hat",
        "run",
        "sit",
        "##s",
        "##ning",
        "##ting",
        "'",
        ",",
        "-",
        "t",
        "shirt",
    ),
]
VISION = {"image_size": SIDE, "patch_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT = {"max_position_embeddings": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
TOKENS = {"bos_token_id": START, "sep_token_id": END, "eos_token_id": END, "pad_token_id": 0}
SIZES = {"hidden_size": 32, "intermediate_size": 64, "initializer_range": 0.3}


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def write_tokenizer(folder: Path) -> int:
    """A BERT tokenizer of a few words; returns its vocabulary size."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    pieces = [*SPECIAL, *WORDS]
    tokenizer = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", END)]
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    names = {name: f"[{name[:-6].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token")}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", **names})
    return len(pieces)


def write_stated(folder: Path, **changes: Any) -> Path:
    """A folder that can be read without its weights, and weights that cannot be loaded."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder)
    config = {"model_type": "blip", "text_config": TEXT | TOKENS, "vision_config": VISION}
    write_json(folder / "config.json", config | changes)
    write_json(folder / "preprocessor_config.json", {"size": {"height": SIDE, "width": SIDE}})
    save_file({"weight": np.zeros(4, np.float32)}, folder / "model.safetensors")
    return folder


def write_blip(folder: Path, *, classic: bool = True, seed: int = 0) -> Path:
    """A whole model with random weights, its processor's file in the ``classic`` layout or that of today."""
    import torch
    from transformers import BlipConfig, BlipForConditionalGeneration

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    text = SIZES | TEXT | TOKENS | {"vocab_size": write_tokenizer(folder), "encoder_hidden_size": 32}
    config = BlipConfig(text_config=text, vision_config=SIZES | VISION)
    model = BlipForConditionalGeneration(config)
    with torch.no_grad():
        # Words that follow the picture (strong cross-attention), no special ones, and captions that end.
        for layer in model.text_decoder.bert.encoder.layer:
            layer.crossattention.output.dense.weight *= 4
        likely = model.text_decoder.cls.predictions.bias
        likely[: len(SPECIAL)] -= 20.0
        likely[END] += 20.0 + 2.5
    model.save_pretrained(folder)
    processor = {
        "image_processor_type": "BlipImageProcessor",
        "size": {"height": SIDE, "width": SIDE},
        "image_mean": [0.48, 0.46, 0.41],
        "image_std": [0.27, 0.26, 0.28],
        "resample": 3,
        "rescale_factor": 1 / 255,
    }
    if classic:
        write_json(folder / "preprocessor_config.json", processor)
    else:
        whole = {"processor_class": "BlipProcessor", "image_processor": processor}
        write_json(folder / "processor_config.json", whole)
    return folder


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    """Coarse coloured patterns of several shapes."""
    rng = np.random.default_rng(seed)
    coarse = [rng.integers(0, 256, (2 + n % 3, 2 + n % 4, 3), np.uint8) for n in range(count)]
    return [each.repeat(17, axis=0).repeat(19, axis=1) for each in coarse]
