"""Channel ``semantic``: how near an item's text is to the user's text, in the encoder's space."""

from __future__ import annotations

from typing import Self

import numpy as np

from llmrec.config import RankSettings
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, Scores, Taste
from llmrec.rank.log import Log, Rows


class Semantic:
    """Cosine between the user's vector and an item's, -1 to 1. It needs no log."""

    name = "semantic"
    settings = ()

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    @classmethod
    def fit(
        cls, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()
    ) -> Self:
        """Nothing to train: the encoder is."""
        return cls(catalog)

    @classmethod
    def restore(cls, catalog: Catalog, state: Arrays, settings: RankSettings) -> Self:
        """Nothing to read back."""
        return cls(catalog)

    def state(self) -> Arrays:
        """Empty."""
        return {}

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """The cosines; None for a taste without text."""
        return None if taste.vector is None else self.catalog.vectors(rows) @ taste.vector

    def propose(self, taste: Taste, count: int) -> Rows:
        """The nearest rows, by the ANN index."""
        if taste.vector is None:
            return np.empty(0, np.intp)
        return self.catalog.rows(self.catalog.table.nearest(taste.vector, count)[0])

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """An equal share of the item's cosine to each history item, where the user's text is made of them."""
        if taste.vector is None or taste.asked or not len(taste.history):
            return None
        target = self.catalog.vectors(np.array([row], np.intp))[0]
        cosines: Scores = self.catalog.vectors(taste.history) @ target
        return cosines / np.float32(len(taste.history))
