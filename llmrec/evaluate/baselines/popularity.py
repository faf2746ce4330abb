"""Baseline ``popularity``: the number of users who chose an item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmrec.evaluate.model import Setting
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Log


@dataclass(frozen=True, slots=True)
class FittedPopularity:
    """The same scores for everyone, also for users without a history."""

    counts: Scores

    def score(self, taste: Taste) -> Scores | None:
        """Users of each item, (items,)."""
        return self.counts


class Popularity:
    """Counts users; nothing to choose."""

    name = "popularity"
    grid: tuple[Setting, ...] = ({},)

    def fit(
        self, catalog: Catalog, log: Log, setting: Setting, seed: int, progress: Progress
    ) -> FittedPopularity:
        """Count users by item."""
        return FittedPopularity(log.counts.astype(np.float32))
