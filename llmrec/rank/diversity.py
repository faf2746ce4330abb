"""Diversity of a list: maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores
from llmrec.rank.log import Rows
from llmrec.rank.ranker import Ranked

_POOL = 10
_LEAST_POOL = 100
"""A diverse list is chosen among so many times its length of the best items, and at least so many."""


def pool_size(k: int, diversity: float) -> int:
    """How many of the best items a list of ``k`` is chosen among."""
    return max(_POOL * k, _LEAST_POOL) if diversity else k


def diverse(catalog: Catalog, ranked: Sequence[Ranked], diversity: float, k: int) -> list[Ranked]:
    """``k`` of ``ranked``, best first, chosen by :func:`diversified`; the very same where diversity is 0."""
    if not diversity:
        return list(ranked[:k])
    vectors = catalog.vectors(np.array([entry.row for entry in ranked], np.intp))
    scores = np.array([entry.score for entry in ranked], np.float32)
    return [ranked[at] for at in diversified(scores, vectors, diversity, k)]


def diversified(scores: Scores, vectors: NDArray[np.float32], diversity: float, k: int) -> Rows:
    """Positions of ``k`` candidates, one after the other the best trade of score against novelty.

    Each is the one with the highest (1 - diversity) * score - diversity * its largest cosine to those chosen
    before it, the scores scaled to 0..1 over the candidates. The first is always the best by score; equal
    values go by position.

    Args:
        scores: of the candidates, best first, (candidates,).
        vectors: their unit vectors, (candidates, dimension).
        diversity: 0 keeps the order as it is, 1 looks at the cosines alone.
        k: how many at most.
    """
    count = min(k, len(scores))
    if diversity == 0 or count == 0:
        return np.arange(count)
    spread = float(scores[0] - scores[-1])
    relevance = (scores - scores[-1]) / spread if spread > 0 else np.zeros(len(scores))
    likeness = np.full(len(scores), -1.0)
    left = np.ones(len(scores), bool)
    chosen = np.empty(count, np.intp)
    for place in range(count):
        if place:
            likeness = np.maximum(likeness, vectors @ vectors[chosen[place - 1]])
        # The first has nothing to be unlike: at a diversity of 1 all are equal, and the best by score wins.
        value = (1 - diversity) * relevance - diversity * likeness
        chosen[place] = np.argmax(np.where(left, value, -np.inf))
        left[chosen[place]] = False
    return chosen
