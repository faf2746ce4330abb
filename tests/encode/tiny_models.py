"""Tiny models with random weights, as the files that real ones come in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

WORDS = [
    *("a", "the", "of", "in", "and", "about", "film", "cooking", "paris", "warm", "waterproof", "jacket"),
    *("rain", "love", "war", "space", "robot", "dog", "cat", "music", "un", "##believ", "##able", "##s"),
]
CORPUS = ["a film about cooking in Paris, 1999", "warm waterproof jackets for the rain", "robots in space"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_wordpiece(folder: Path) -> int:
    """A BERT tokenizer with padding and truncation set, as often published; returns its vocabulary size."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = [chr(code) for code in range(33, 127)]
    pieces = [*SPECIAL, *WORDS, *(c for c in letters if c not in WORDS), *(f"##{c}" for c in letters)]
    vocab = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.enable_padding(length=24)
    tokenizer.enable_truncation(12)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **names})
    return len(vocab)


def write_byte_bpe(folder: Path) -> int:
    """A byte-level BPE tokenizer without special tokens around a text; returns its vocabulary size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "padding_side": "left"}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **names})
    return tokenizer.get_vocab_size()


def write_configuration(folder: Path) -> None:
    """The files of a BERT that can be read without its weights, and weights that cannot be loaded."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_wordpiece(folder)
    write_json(
        folder / "config.json",
        {
            "model_type": "bert",
            "vocab_size": vocabulary,
            "pad_token_id": 0,
            "max_position_embeddings": 64,
            "architectures": ["BertModel"],
        },
    )
    save_file({"weight": np.zeros(4, np.float32)}, folder / "model.safetensors")


def write_tiny_bert(folder: Path, width: int = 32) -> Path:
    """A two-layer BERT with sentence-transformers modules, 32 tokens, and prompts for both sides."""
    import torch
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=write_wordpiece(folder),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(folder)
    modules = ["", "1_Pooling", "2_Normalize"]
    names = ["Transformer", "Pooling", "Normalize"]
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
            for i, (path, name) in enumerate(zip(modules, names, strict=True))
        ],
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 32, "do_lower_case": False})
    pooling = {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True}
    write_json(folder / "1_Pooling" / "config.json", pooling)
    prompts = {"query": "love: ", "document": "war: "}
    write_json(folder / "config_sentence_transformers.json", {"prompts": prompts})
    (folder / "2_Normalize").mkdir(exist_ok=True)
    return folder


def write_tiny_llama(folder: Path, width: int = 32) -> Path:
    """A two-layer causal LM without sentence-transformers files, whose tokenizer pads on the left."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=write_byte_bpe(folder),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=96,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def write_mean_of_embeddings(path: Path, table: np.ndarray) -> Path:
    """An OpenVINO model that averages the rows of ``table`` of a text's tokens; made without PyTorch."""
    import openvino
    from openvino import opset13 as ops

    shape = openvino.PartialShape([-1, -1])
    ids, mask = ops.parameter(shape, np.int64, name="input_ids"), ops.parameter(shape, np.int64, name="mask")
    weights = ops.unsqueeze(ops.convert(mask, "f32"), ops.constant(-1))
    rows = ops.multiply(ops.gather(ops.constant(table), ids, ops.constant(0)), weights)
    mean = ops.divide(ops.reduce_sum(rows, ops.constant(1)), ops.reduce_sum(weights, ops.constant(1)))
    openvino.save_model(openvino.Model([mean], [ids, mask]), path, compress_to_fp16=False)
    return path
