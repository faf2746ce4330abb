"""Channel ``popularity``: how many users chose an item or, of a new item, would by what its text says."""

from __future__ import annotations

from functools import cached_property
from typing import Self

import numpy as np

from llmrec.config import RankSettings
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, Scores, Taste
from llmrec.rank.log import Log, Rows
from llmrec.rank.places import Places
from llmrec.rank.top import top

_RIDGE = 10.0
"""Regularisation of the regression on texts, of unit vectors."""
_SAMPLE = 20_000
"""Items that the regression looks at, the most of them."""


class Popularity:
    """Logarithm of one plus the number of users with an event.

    Of an item that came later than the log it is predicted from the item's vector, by a ridge regression over
    the others; a prediction is not below 0.

    Args:
        catalog: the items, for their vectors.
        rows: catalog rows of the items that were there.
        counts: users with an event, for each of ``rows``.
        slope: of the regression, (dimension,).
        level: its value at the vector 0.
    """

    name = "popularity"
    settings = ("seed",)

    def __init__(self, catalog: Catalog, rows: Rows, counts: Scores, slope: Scores, level: float) -> None:
        self.catalog = catalog
        self.rows, self.counts, self.slope, self.level = rows, counts, slope, level
        self._known = Places(len(catalog), rows).spread(np.log1p(counts), np.nan)

    @classmethod
    def fit(
        cls, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()
    ) -> Self:
        """Count users by item, and learn what texts of popular items have in common."""
        rows = np.setdiff1d(np.arange(log.size), log.new)
        counts = log.counts[rows].astype(np.float32)
        rng = np.random.default_rng(settings.seed)
        chosen = np.sort(rng.choice(len(rows), min(_SAMPLE, len(rows)), replace=False))
        vectors = catalog.vectors(rows[chosen]).astype(np.float64)
        values = np.log1p(counts[chosen]).astype(np.float64)
        centre, mean = vectors.sum(axis=0) / max(len(chosen), 1), values.sum() / max(len(chosen), 1)
        vectors -= centre
        gram = vectors.T @ vectors + _RIDGE * np.eye(vectors.shape[1])
        slope = np.linalg.solve(gram, vectors.T @ (values - mean))
        level = float(mean - centre @ slope)
        return cls(catalog, rows, counts, slope.astype(np.float32), level)

    @classmethod
    def restore(cls, catalog: Catalog, state: Arrays, settings: RankSettings) -> Self:
        """Read the counts and the regression back."""
        counts, slope = state["counts"].astype(np.float32), state["slope"].astype(np.float32)
        return cls(catalog, state["rows"].astype(np.intp), counts, slope, float(state["level"].item()))

    def state(self) -> Arrays:
        """``counts`` for each of ``rows``; ``slope`` and ``level`` of the regression."""
        return {
            "rows": self.rows.astype(np.int64),
            "counts": self.counts,
            "slope": self.slope,
            "level": np.array(self.level),
        }

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """The same for everyone; None where there is no log."""
        if not self.counts.any():
            return None
        return self._whole[rows] if self.catalog.exact else self._of(rows)

    def propose(self, taste: Taste, count: int) -> Rows:
        """The most popular rows among those that were there."""
        return top(np.nan_to_num(self._known), count)

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """It does not depend on the history."""
        return None

    @cached_property
    def _whole(self) -> Scores:
        return self._of(np.arange(len(self.catalog)))

    def _of(self, rows: Rows) -> Scores:
        scores: Scores = self._known[rows]
        new = np.isnan(scores)
        scores[new] = np.maximum(self.catalog.vectors(rows[new]) @ self.slope + self.level, 0)
        return scores
