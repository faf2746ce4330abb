"""Channel ``popularity``: how many users chose an item."""

from __future__ import annotations

from typing import Self

import numpy as np

from llmrec.config import RankSettings
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, Scores, Taste
from llmrec.rank.log import Log, Rows
from llmrec.rank.places import Places
from llmrec.rank.top import top


class Popularity:
    """Logarithm of one plus the number of users with an event; 0 for an item that nobody chose."""

    name = "popularity"

    def __init__(self, size: int, rows: Rows, counts: Scores) -> None:
        self.rows, self.counts = rows, counts
        self.scores: Scores = Places(size, rows).spread(np.log1p(counts), 0)

    @classmethod
    def fit(
        cls, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()
    ) -> Self:
        """Count users by item."""
        rows = np.flatnonzero(log.counts)
        return cls(log.size, rows, log.counts[rows].astype(np.float32))

    @classmethod
    def restore(cls, catalog: Catalog, state: Arrays, settings: RankSettings) -> Self:
        """Read the counts back."""
        return cls(len(catalog), state["rows"].astype(np.intp), state["counts"].astype(np.float32))

    def state(self) -> Arrays:
        """``counts``: users with an event, for each of ``rows``."""
        return {"rows": self.rows.astype(np.int64), "counts": self.counts}

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """The same for everyone; None where there is no log."""
        return self.scores[rows] if self.scores.any() else None

    def propose(self, taste: Taste, count: int) -> Rows:
        """The most popular rows."""
        return top(self.scores, count)

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """It does not depend on the history."""
        return None
