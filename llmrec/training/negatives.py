"""Hard negatives: items whose text is like that of the chosen one, and which the user never chose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llmrec.rank.log import Log, Rows
from llmrec.training.pairs import Pairs, not_negatives

_NEAREST = 50
"""Items among which they are drawn. The nearest ones alone are often the same thing under another id."""
_AT_ONCE = 512


def hard_negatives(log: Log, vectors: NDArray[np.float32], pairs: Pairs, count: int, seed: int) -> Rows:
    """Rows for each pair, (pairs, count), drawn of the items with events that are nearest to its target.

    A pair whose nearest items were all chosen by its user gets its target, which is no negative and does no
    harm.

    Args:
        log: the training period.
        vectors: unit vectors of the items' texts, (items, dimension).
        pairs: whose negatives are wanted.
        count: for each pair.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    items = np.flatnonzero(log.counts)
    found = np.tile(pairs.targets[:, None], (1, count))
    targets, place = np.unique(pairs.targets, return_inverse=True)
    by_target = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[by_target], np.arange(len(targets) + 1))
    width = min(_NEAREST, len(items) - 1)
    for begin in range(0, len(targets), _AT_ONCE):
        some = targets[begin : begin + _AT_ONCE]
        cosines = vectors[some] @ vectors[items].T
        cosines[np.arange(len(some)), np.searchsorted(items, some)] = -np.inf
        nearest = items[np.argpartition(-cosines, width - 1, axis=1)[:, :width]]
        for at, near in enumerate(nearest, begin):
            rows = by_target[bounds[at] : bounds[at + 1]]
            allowed = ~not_negatives(log, pairs.users[rows], near)
            for row, free in zip(rows.tolist(), allowed, strict=True):
                if free.any():
                    found[row] = rng.choice(near[free], count)
    return found
