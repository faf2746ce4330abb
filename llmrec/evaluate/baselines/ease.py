"""Baseline ``ease``: the linear autoencoder of Steck (WWW 2019), by the channel ``linear``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmrec.config import RankSettings
from llmrec.evaluate.model import Setting
from llmrec.progress import Progress
from llmrec.rank import linear
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Log
from llmrec.rank.top import top


@dataclass(frozen=True, slots=True)
class FittedEase:
    """The channel, asked for the whole catalog."""

    channel: linear.Linear

    def score(self, taste: Taste) -> Scores | None:
        """Scores of equation 3, 0 for items without events; None where no item of the history has any."""
        scores = self.channel.score(taste, np.arange(self.channel.places.size))
        return None if scores is None else np.nan_to_num(scores, nan=0.0)


LARGEST = 10_000
"""Side of the matrix that is inverted."""


class Ease:
    """EASE with its one setting, ``regularisation`` (λ)."""

    name = "ease"
    grid: tuple[Setting, ...] = tuple(
        {"regularisation": value} for value in (10, 25, 50, 100, 250, 500, 1000)
    )

    def fit(self, catalog: Catalog, log: Log, setting: Setting, seed: int, progress: Progress) -> FittedEase:
        """Solve the closed form; above 10,000 users and items the most popular items take part.

        Raises:
            ConfigError: λ is too small for the log.
        """
        if min((log.lengths > 0).sum(), (log.counts > 0).sum()) > LARGEST:
            log = log.where(np.isin(log.rows, top(log.counts.astype(np.float32), LARGEST)))
        settings = RankSettings(
            ease_lambda=float(setting["regularisation"]), ease_forgetting=0, ease_side=LARGEST
        )
        return FittedEase(linear.Linear.fit(catalog, log, settings, progress))
