"""Channel ``itemknn``: items that users choose near each other in time, from the user's newest items.

Item-based nearest neighbours with two changes for logs that have an order: a pair counts by how near the two
stand in a user's history (1/distance within a window, both directions), and the history's newest items count
most (1/position). On small logs this is ahead of every other single channel (README, "Measured").
"""

from __future__ import annotations

from typing import Self

import numpy as np
import scipy.sparse as sp

from llmrec.config import RankSettings
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, Scores, Taste
from llmrec.rank.log import Log, Rows
from llmrec.rank.places import Places
from llmrec.rank.top import top, top_of_rows

NEIGHBOURS = 500
"""Neighbours kept of an item."""
HISTORY = 100
"""Newest items of a history that are read: the next would weigh less than 1%."""
_DAMPING = 0.5
"""Exponent of the popularity of the history's item; that of the scored item is ``knn_damping``."""
_EVENTS = 2_000_000
"""Events whose pairs are counted at once."""


class ItemKnn:
    """Sum of the similarities between the newest items of the history and an item.

    Args:
        size: rows of the catalog.
        rows: catalog rows with events, sorted.
        similarity: (rows, rows), its rows the items of a history, its columns the items that are scored.
    """

    name = "itemknn"
    settings = ("knn_window", "knn_damping")

    def __init__(self, size: int, rows: Rows, similarity: sp.csr_matrix) -> None:
        self.places = Places(size, rows)
        self.similarity = similarity

    @classmethod
    def fit(
        cls, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()
    ) -> Self:
        """Count what stands near what."""
        rows = np.flatnonzero(log.counts)
        near = _near(log.over(rows), settings.knn_window)
        popularity = log.counts[rows] + 1.0
        scaled = sp.diags(popularity**-_DAMPING) @ near @ sp.diags(popularity**-settings.knn_damping)
        return cls(log.size, rows, top_of_rows(scaled.tocsr().astype(np.float32), NEIGHBOURS))

    @classmethod
    def restore(cls, catalog: Catalog, state: Arrays, settings: RankSettings) -> Self:
        """Read the similarities back."""
        rows = state["rows"].astype(np.intp)
        parts = (state["data"].astype(np.float32), state["indices"], state["indptr"])
        return cls(len(catalog), rows, sp.csr_matrix(parts, shape=(len(rows), len(rows))))

    def state(self) -> Arrays:
        """The similarities as CSR, and their rows."""
        matrix = self.similarity
        return {
            "rows": self.places.rows.astype(np.int64),
            "data": matrix.data,
            "indices": matrix.indices,
            "indptr": matrix.indptr,
        }

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """The sums; NaN for items without events, None where no item of the history has any."""
        scores = self._scores(taste)
        return None if scores is None else self.places.spread(scores, np.nan)[rows]

    def propose(self, taste: Taste, count: int) -> Rows:
        """The rows with the highest scores above 0."""
        scores = self._scores(taste)
        if scores is None:
            return np.empty(0, np.intp)
        best = top(scores, count)
        found = self.places.rows[best[scores[best] > 0]]
        return found[found >= 0]

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """The weighted similarity of each history item."""
        target = self.places.positions(np.array([row], np.intp))[0]
        if target < 0 or not len(taste.history):
            return None
        at, weights = self._newest(taste)
        influence = np.zeros(len(taste.history), np.float32)
        if len(at):
            column = self.similarity[self.places.positions(taste.history[at])][:, [target]].toarray().ravel()
            influence[at] = weights * column
        return influence

    def _newest(self, taste: Taste) -> tuple[Rows, Scores]:
        """Places in the history of its newest items with events, and their weights."""
        at = np.flatnonzero(self.places.positions(taste.history[:HISTORY]) >= 0)
        return at, (1.0 / (1.0 + at)).astype(np.float32)

    def _scores(self, taste: Taste) -> Scores | None:
        at, weights = self._newest(taste)
        if not len(at):
            return None
        scores: Scores = self.similarity[self.places.positions(taste.history[at])].T @ weights
        return scores.astype(np.float32)


def _near(log: Log, window: int) -> sp.csr_matrix:
    """Sum over users of 1/distance for every two of their events within the window, (items, items)."""
    rows, at_user = log.rows, log.at_user
    total = sp.csr_matrix((log.size, log.size), dtype=np.float32)
    for start in range(0, len(rows), _EVENTS):
        for distance in range(1, window + 1):
            first = np.arange(start, min(start + _EVENTS, len(rows) - distance))
            first = first[at_user[first] == at_user[first + distance]]
            weights = np.full(len(first), 1 / distance, np.float32)
            total += sp.csr_matrix((weights, (rows[first], rows[first + distance])), shape=total.shape)
    return total + total.T
