"""Baseline ``ials``: weighted matrix factorisation (Hu, Koren and Volinsky, ICDM 2008)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from llmrec.evaluate.model import Setting
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.factors import implicit_cpu
from llmrec.rank.log import Log


@dataclass(frozen=True, slots=True)
class FittedIals:
    """A trained ``implicit`` model and which items have events, (items,)."""

    model: Any
    known: NDArray[np.bool_]

    def score(self, taste: Taste) -> Scores | None:
        """Inner products of the items with the user that solves the least squares of the history.

        None where no item of the history has events.
        """
        history = np.unique(taste.history[self.known[taste.history]])
        if not len(history):
            return None
        chosen = (np.ones(len(history), np.float32), history, [0, len(history)])
        user = self.model.recalculate_user(0, sp.csr_matrix(chosen, shape=(1, len(self.known))))
        scores: Scores = self.model.item_factors @ user
        return scores


class Ials:
    """Alternating least squares; an event counts ``alpha`` times as much as the absence of one."""

    name = "ials"
    grid: tuple[Setting, ...] = tuple(
        {"factors": factors, "regularisation": regularisation, "alpha": alpha, "iterations": 15}
        for factors, regularisation, alpha in product((32, 64), (1, 10, 50), (1, 3, 10))
    )

    def fit(self, catalog: Catalog, log: Log, setting: Setting, seed: int, progress: Progress) -> FittedIals:
        """Factorise."""
        iterations = int(setting["iterations"])
        with implicit_cpu() as implicit, progress.task("ials", iterations, "iterations") as task:
            model = implicit.als.AlternatingLeastSquares(
                factors=int(setting["factors"]),
                regularization=float(setting["regularisation"]),
                alpha=float(setting["alpha"]),
                iterations=iterations,
                random_state=seed,
            )
            if len(log):
                model.fit(log.matrix, show_progress=False, callback=lambda *_: task.advance())
        return FittedIals(model, log.counts > 0)
