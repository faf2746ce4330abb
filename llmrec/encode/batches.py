"""Token sequences of any length into padded batches of about equal work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences of similar length, padded on the right.

    Args:
        rows: ``(n,)``, the place of each sequence among those that the batches were made of.
        input_ids: ``(n, length)``.
        attention_mask: ``(n, length)``, 1 on tokens and 0 on padding.
    """

    rows: NDArray[np.intp]
    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]


def plan_batches(lengths: Sequence[int], token_budget: int) -> Iterator[NDArray[np.intp]]:
    """Group sequences, longest first, so that a padded batch holds at most ``token_budget`` tokens.

    Longest first, so that what does not fit in memory fails at once. A sequence longer than the budget is a
    batch of its own.

    Yields:
        The places of one batch's sequences in ``lengths``; every place once in all.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        size = max(1, token_budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def pad_batches(sequences: Sequence[NDArray[np.int64]], token_budget: int, pad_token: int) -> Iterator[Batch]:
    """The sequences as padded batches of at most ``token_budget`` tokens; see :func:`plan_batches`."""
    for rows in plan_batches([len(sequence) for sequence in sequences], token_budget):
        shape = (len(rows), len(sequences[rows[0]]))
        input_ids = np.full(shape, pad_token, dtype=np.int64)
        attention_mask = np.zeros(shape, dtype=np.int64)
        for line, row in enumerate(rows):
            input_ids[line, : len(sequences[row])] = sequences[row]
            attention_mask[line, : len(sequences[row])] = 1
        yield Batch(rows, input_ids, attention_mask)
