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
        input_ids, attention_mask = padded([sequences[row] for row in rows], pad_token)
        yield Batch(rows, input_ids, attention_mask)


def padded(
    sequences: Sequence[NDArray[np.int64]], pad_token: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids and attention mask of sequences, filled up on the right to the longest, (sequences, tokens)."""
    shape = (len(sequences), max(len(sequence) for sequence in sequences))
    ids, mask = np.full(shape, pad_token, np.int64), np.zeros(shape, np.int64)
    for line, sequence in enumerate(sequences):
        ids[line, : len(sequence)] = sequence
        mask[line, : len(sequence)] = 1
    return ids, mask
