"""Baseline ``text``: items whose text is near that of the user's last items; it learns nothing of the log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmrec.evaluate.model import Setting
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Log


@dataclass(frozen=True, slots=True)
class FittedText:
    """Unit vectors of all items, (items, dimension), and how many of a history's newest items count."""

    vectors: Scores
    newest: int

    def score(self, taste: Taste) -> Scores | None:
        """Cosine to the mean vector of the newest items; None without a history."""
        if not len(taste.history):
            return None
        mean = self.vectors[taste.history[: self.newest]].mean(axis=0)
        scores: Scores = self.vectors @ (mean / max(float(np.linalg.norm(mean)), 1e-12))
        return scores


class Text:
    """The encoder's vectors as they are; ``newest`` items of the history make the profile."""

    name = "text"
    grid: tuple[Setting, ...] = tuple({"newest": count} for count in (1, 5, 10, 20))

    def fit(self, catalog: Catalog, log: Log, setting: Setting, seed: int, progress: Progress) -> FittedText:
        """Take the catalog's vectors."""
        return FittedText(catalog.vectors(np.arange(len(catalog))), int(setting["newest"]))
