"""Batches that hold each text once: pairs of one window come together, and share their texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.base.sampler import DefaultBatchSampler

from llmrec.encode.batches import padded
from llmrec.rank.log import Log
from llmrec.training.corpus import Corpus
from llmrec.training.pairs import not_negatives


class WindowSampler(DefaultBatchSampler):  # type: ignore[misc]
    """Windows in a random order that depends on seed and epoch, cut into batches of equal size."""

    def __init__(self, pairs: Any, batch_size: int, seed: int) -> None:
        size = min(batch_size, len(pairs))
        super().__init__(pairs, batch_size=size, drop_last=True, seed=seed)
        window = pairs.with_format("numpy")["window"][:]
        self.bounds = np.flatnonzero(np.diff(window, prepend=-1, append=-1))
        self.count = len(window) // size

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.bounds) - 1)
        pairs = np.concatenate([np.arange(self.bounds[at], self.bounds[at + 1]) for at in order])
        for start in range(0, self.count * self.batch_size, self.batch_size):
            yield pairs[start : start + self.batch_size].tolist()


class Collator:
    """Makes the rows of ``Corpus.pairs`` into what :class:`llmrec.training.loss.NextItemLoss` takes.

    Texts are in the order of their length, so that a mini-batch of them has little padding.

    Args:
        corpus: of the pairs.
        log: the training period, for what is no negative.
        pad_token: id that fills up short texts.
        slots: pairs of a batch.
        correction: share of the correction for popular items that is made, 0 to 1. With all of it the vectors
            learn how likely an item is, with none how much likelier than for others.
    """

    valid_label_columns: Sequence[str] = ()

    def __init__(self, corpus: Corpus, log: Log, pad_token: int, slots: int, correction: float) -> None:
        self.corpus, self.log, self.pad_token = corpus, log, pad_token
        chance = inclusion(corpus.pairs, log.size, min(slots, len(corpus.pairs)))
        self.correction = np.float32(correction) * chance

    def __call__(self, pairs: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Tensors ``text_input_ids`` and ``text_attention_mask``, (texts, tokens), and ``label``."""
        anchors, targets, users = (
            np.array([pair[name] for pair in pairs], np.intp) for name in ("anchor", "target", "user")
        )
        negatives = np.array([row for pair in pairs for row in pair["negatives"]], np.intp)
        candidates = np.unique(np.concatenate([targets, negatives]))
        texts = np.union1d(anchors, candidates)
        sequences = self.corpus.sequences(texts)
        order = np.argsort([len(sequence) for sequence in sequences], kind="stable")
        place = np.empty(len(texts), np.intp)
        place[order] = np.arange(len(texts))
        target = np.searchsorted(candidates, targets)
        excluded = not_negatives(self.log, users, candidates)
        excluded[np.arange(len(pairs)), target] = False
        label = {
            "anchors": place[np.searchsorted(texts, anchors)],
            "candidates": place[np.searchsorted(texts, candidates)],
            "targets": target,
            "excluded": excluded,
            "correction": self.correction[candidates],
        }
        ids, mask = padded([sequences[at] for at in order], self.pad_token)
        return {
            "text_input_ids": torch.from_numpy(ids),
            "text_attention_mask": torch.from_numpy(mask),
            "label": {name: torch.from_numpy(array) for name, array in label.items()},
        }


def inclusion(pairs: Any, size: int, slots: int) -> NDArray[np.float32]:
    """Logarithm of how likely each item is among the candidates of a batch, (size,); 0 where it never is.

    Taken from the scores it undoes that popular items are negatives more often (Bengio & Senécal, 2008; Yi et
    al., RecSys 2019).
    """
    columns = pairs.with_format("numpy")
    targets = columns["target"][:]
    negatives = np.concatenate([targets[:0], *columns["negatives"][:]]).astype(np.intp)
    counts = np.bincount(np.concatenate([targets, negatives]), minlength=size)
    drawn = slots * counts.sum() / max(len(targets), 1)
    missed = (1 - counts / max(counts.sum(), 1)) ** drawn
    return np.log(np.where(counts > 0, 1 - missed, 1.0)).astype(np.float32)
