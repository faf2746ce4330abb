"""A tiny model and a small log to fine-tune it on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.encode.folder import ModelFolder, read_model_folder
from llmrec.encode.torch_engine import load_sentence_transformer
from llmrec.evaluate.splits import Stages, leave_last_out
from llmrec.rank.log import Log
from llmrec.training.corpus import Corpus, histories_of, write_corpus
from llmrec.training.judge import Questions, choose_cases, judge
from llmrec.training.lora import add_adapter
from llmrec.training.pairs import Pairs, sample_pairs
from llmrec.training.settings import LoraSettings, PairSettings, TrainingSettings

ITEMS = 30
"""Items of the log, in three topics: row modulo 3."""
PAD = 0
DAY = 86_400.0
CURVE = [{"step": 0, "epoch": 0.0, "ndcg@10": 0.1}, {"step": 1, "epoch": 1.0, "loss": 1.0, "ndcg@10": 0.2}]
"""What a run on paper gave."""


def log_of(events: Iterable[tuple[str, int, float]], size: int = ITEMS) -> Log:
    """A log of (user, row, time in days)."""
    rows = {f"i{row}": row for row in range(size)}
    return Log.of(((user, f"i{row}", DAY * time, 1.0) for user, row, time in events), rows, size)


def topical_log(users: int = 24, length: int = 8, seed: int = 0) -> Log:
    """Each user chooses items of one topic, in a random order, popular ones sooner."""
    rng = np.random.default_rng(seed)
    events = []
    for user in range(users):
        rows = np.arange(user % 3, ITEMS, 3)
        likely = 1 / (1 + np.arange(len(rows)))
        chosen = rng.choice(rows, length, replace=False, p=likely / likely.sum())
        events += [(f"u{user:02}", int(row), float(user + step)) for step, row in enumerate(chosen)]
    return log_of(events)


def write_tiny_bert(folder: Path, width: int = 32) -> Path:
    """A two-layer BERT of few dimensions with random weights, whose tokenizer knows ``w0`` to ``w63``."""
    import torch
    from transformers import BertConfig, BertModel

    shape = BertConfig(
        vocab_size=write_words(folder),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    BertModel(shape).save_pretrained(folder)
    return folder


def write_tiny_llama(folder: Path) -> Path:
    """A causal model of the same size."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = LlamaConfig(
        vocab_size=write_words(folder),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(shape).save_pretrained(folder)
    return folder


def write_words(folder: Path) -> int:
    """A tokenizer that knows words; returns its number of tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder.mkdir(parents=True)
    vocabulary = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])}
    vocabulary |= {f"w{number}": 4 + number for number in range(64)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return len(vocabulary)


def tokens_of(rows: Iterable[int]) -> np.ndarray:
    """The tokens of an item's text, or of a history's: a word for each item."""
    return np.array([2, *(4 + row for row in rows), 3], np.int64)


@dataclass(frozen=True)
class Bench:
    """Everything that a run on the small log takes."""

    settings: TrainingSettings
    stages: Stages
    log: Log
    pairs: Pairs
    corpus: Corpus
    questions: Questions
    base: ModelFolder

    def judge(self, model: Any) -> dict[str, float]:
        return {**judge(model, self.corpus, self.questions, PAD, 512)}


def bench(folder: Path, model_folder: Path, **changes: Any) -> Bench:
    """Corpus and questions of the small log, in ``folder``."""
    settings = TrainingSettings.model_validate(
        {"epochs": 3, "batch_size": 32, "learning_rate": 3e-3, "mini_batch_tokens": 200, **changes}
    )
    stages = leave_last_out(topical_log(users=60))
    log = stages[0].train
    pairs = sample_pairs(log, settings.pairs, settings.seed)
    cases = choose_cases(stages[0], settings.validation_users, settings.seed)
    distinct, _ = histories_of(pairs)
    known = [*zip(distinct.users, distinct.known, strict=True), *((case.user, case.known) for case in cases)]
    histories = [stages[0].log.rows[stages[0].log.span(int(user))][:count][::-1] for user, count in known]
    texts = [*(tokens_of([row]) for row in range(ITEMS)), *(tokens_of(rows) for rows in histories)]
    write_corpus(folder, texts, ITEMS, pairs, np.empty((len(pairs), 0), np.intp))
    questions = Questions(stages[0], cases, ITEMS + len(distinct))
    return Bench(
        settings, stages, log, pairs, Corpus.open(folder), questions, read_model_folder(model_folder, "tiny")
    )


def tiny_model(folder: Path, lora: LoraSettings | None = None, seed: int = 0) -> Any:
    """The model in a folder with a new adapter."""
    import torch

    model = load_sentence_transformer(read_model_folder(folder, "tiny"), "cpu", torch.float32)
    add_adapter(model, lora or LoraSettings(), seed)
    return model


def adapted(folder: Path, seed: int = 0, size: float = 0.05) -> Any:
    """The model of a folder with an adapter of random weights."""
    import torch

    model = load_sentence_transformer(read_model_folder(folder, "tiny"), "cpu", torch.float32)
    add_adapter(model, LoraSettings(rank=4), seed)
    torch.manual_seed(seed)
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=size)
    return model.eval()


def pair_settings(**changes: Any) -> PairSettings:
    """Settings that keep every pair."""
    return PairSettings.model_validate({"debiasing": 0.0, "per_user": 10_000, "window_days": 1000, **changes})
