"""The loss is its formula, its cached gradient is the plain one, and batches hold each text once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_training import PAD, Bench, tiny_model

from llmrec.training.batches import Collator, WindowSampler, inclusion
from llmrec.training.judge import encode
from llmrec.training.loss import NextItemLoss
from llmrec.training.settings import LoraSettings

TEMPERATURE = 0.1


@pytest.fixture
def model(model_folder: Path) -> Any:
    """With an adapter that changes the vectors, and without dropout."""
    model = tiny_model(model_folder, LoraSettings(dropout=0.0))
    random = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(0, 0.1, generator=random)
    return model.eval()


def first_batch(small: Bench, size: int = 40, correction: float = 1.0) -> tuple[list[int], dict[str, Any]]:
    rows = next(iter(WindowSampler(small.corpus.pairs, size, 0)))
    return rows, Collator(small.corpus, small.log, PAD, size, correction)(
        small.corpus.pairs.__getitems__(rows)
    )


def loss_of(model: Any, batch: dict[str, Any], cached: bool, tokens: int = 60) -> torch.Tensor:
    texts = {"input_ids": batch["text_input_ids"], "attention_mask": batch["text_attention_mask"]}
    return NextItemLoss(model, TEMPERATURE, tokens, cached)([texts], batch["label"])


@pytest.mark.parametrize("correction", [0.0, 0.5, 1.0])
def test_the_loss_is_its_formula(model: Any, small: Bench, correction: float) -> None:
    rows, batch = first_batch(small, correction=correction)
    pairs = small.corpus.pairs[rows]
    vectors = encode(model, small.corpus, range(len(small.corpus.texts)), PAD, 512).astype(np.float64)
    every = small.corpus.pairs[:]["target"]
    shares = np.bincount(every, minlength=small.log.size) / len(every)
    drawn = 1 - (1 - shares) ** len(rows)
    losses = []
    for anchor, target, user in zip(pairs["anchor"], pairs["target"], pairs["user"], strict=True):
        chosen = set(small.log.rows[small.log.span(user)].tolist()) - {target}
        others = [row for row in set(pairs["target"]) if row not in chosen]
        scores = {
            row: vectors[anchor] @ vectors[row] / TEMPERATURE - correction * np.log(drawn[row])
            for row in others
        }
        losses.append(np.log(np.exp([*scores.values()]).sum()) - scores[target])
    with torch.no_grad():
        assert float(loss_of(model, batch, cached=False)) == pytest.approx(np.mean(losses), rel=1e-5)
        assert float(loss_of(model, batch, cached=True)) == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_gradient_of_the_cached_loss_is_that_of_the_plain_one(model: Any, small: Bench) -> None:
    gradients = []
    for cached in (False, True):
        _, batch = first_batch(small)
        model.zero_grad()
        loss_of(model, batch, cached).backward()
        gradients.append(
            torch.cat([part.grad.flatten() for part in model.parameters() if part.requires_grad])
        )
    assert float(gradients[0].norm()) > 1e-3
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)


def test_only_the_adapter_is_trained(model: Any) -> None:
    trained = {name for name, part in model.named_parameters() if part.requires_grad}
    assert trained
    assert all("lora_" in name and "pooler" not in name for name in trained)
    layers = {name.split(".lora_")[0].rpartition("layer.1.")[2] for name in trained if "layer.1." in name}
    assert layers == {
        *("attention.self.query", "attention.self.key", "attention.self.value"),
        *("attention.output.dense", "intermediate.dense", "output.dense"),
    }


def test_a_batch_holds_each_text_once_in_the_order_of_length(small: Bench) -> None:
    rows, batch = first_batch(small)
    pairs = small.corpus.pairs[rows]
    lengths = batch["text_attention_mask"].sum(dim=1)
    assert torch.equal(lengths, lengths.sort().values)
    texts = small.corpus.sequences(np.union1d(pairs["anchor"], pairs["target"]))
    found = [
        ids[: int(length)].tolist() for ids, length in zip(batch["text_input_ids"], lengths, strict=True)
    ]
    assert sorted(found) == sorted(sequence.tolist() for sequence in texts)
    label = batch["label"]
    for name, wanted in (("anchors", "anchor"), ("candidates", "target")):
        numbers = pairs[wanted] if name == "anchors" else np.unique(pairs[wanted])
        expected = [sequence.tolist() for sequence in small.corpus.sequences(numbers)]
        assert [found[at] for at in label[name]] == expected
    assert not label["excluded"][torch.arange(len(rows)), label["targets"]].any()
    assert label["excluded"].any()


def test_batches_hold_whole_windows_in_another_order_each_epoch(small: Bench) -> None:
    sampler = WindowSampler(small.corpus.pairs, 16, 0)
    first, again = [*sampler], [*sampler]
    assert first == again
    assert len(first) == len(sampler) == len(small.pairs) // 16
    assert len({row for batch in first for row in batch}) == 16 * len(first)
    sampler.set_epoch(1)
    assert [*sampler] != first
    slots = texts = 0
    for batch in first:
        pairs = small.corpus.pairs[batch]
        slots += 2 * len(batch)
        texts += len({*pairs["anchor"], *pairs["target"]})
    assert texts < 0.6 * slots, "texts of a window are shared"


def test_the_correction_is_the_chance_of_an_item_in_a_batch(small: Bench) -> None:
    rng = np.random.default_rng(0)
    targets = np.array(small.corpus.pairs[:]["target"])
    draws = [np.isin(np.arange(small.log.size), rng.choice(targets, 16)) for _ in range(4000)]
    chance = np.exp(inclusion(small.corpus.pairs, small.log.size, 16))
    chosen = np.bincount(targets, minlength=small.log.size) > 0
    np.testing.assert_allclose(chance[chosen], np.mean(draws, axis=0)[chosen], atol=0.03)
    assert np.all(chance[~chosen] == 1.0)
