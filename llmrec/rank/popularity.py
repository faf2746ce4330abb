"""Channel ``popularity``: how many users chose an item."""

from __future__ import annotations

from typing import Self

import numpy as np

from llmrec.config import RankSettings
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, Scores, Taste
from llmrec.rank.log import Log, Rows


class Popularity:
    """Logarithm of one plus the number of users with an event; 0 for an item that nobody chose."""

    name = "popularity"

    def __init__(self, counts: Scores) -> None:
        self.scores: Scores = np.log1p(counts).astype(np.float32)
        self._counts = counts

    @classmethod
    def fit(
        cls, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()
    ) -> Self:
        """Count users by item."""
        return cls(np.asarray(log.matrix.sum(axis=0), np.float32).ravel())

    @classmethod
    def restore(cls, catalog: Catalog, state: Arrays, settings: RankSettings) -> Self:
        """Read the counts back."""
        return cls(state["counts"].astype(np.float32))

    def state(self) -> Arrays:
        """``counts``: users by row, (items,)."""
        return {"counts": self._counts}

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """The same for everyone; None where there is no log."""
        return self.scores[rows] if self.scores.any() else None

    def propose(self, taste: Taste, count: int) -> Rows:
        """The most popular rows."""
        return top(self.scores, count)

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """It does not depend on the history."""
        return None


def top(scores: Scores, count: int) -> Rows:
    """Positions of the ``count`` highest scores, best first; equal scores by position."""
    count = min(count, len(scores))
    if count == 0:
        return np.empty(0, np.intp)
    best = np.argpartition(-scores, count - 1)[:count]
    # argpartition picks among equal scores at random: take all that tie with the last, then sort.
    best = np.flatnonzero(scores >= scores[best].min())
    order: Rows = np.lexsort((best, -scores[best]))[:count]
    return best[order]
