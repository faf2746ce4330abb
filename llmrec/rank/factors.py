"""Channel ``factors``: implicit ALS (Hu, Koren and Volinsky, ICDM 2008), by ``implicit``.

With item factors Y, a history h solves (YᵀY + α·Yₕᵀ·Yₕ + λI) u = (1 + α)·Yₕᵀ·1, and items score as Yu. So any
history is answered, also one that training has not seen, and a score is a sum over the history's items.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from llmrec.config import RankSettings
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, Scores, Taste
from llmrec.rank.log import Log, Rows
from llmrec.rank.places import Places
from llmrec.rank.top import top

FACTORS = 128
ITERATIONS = 15
ALPHA = 1.0
"""How much more an event counts than the absence of one."""
LAMBDA = 10.0


class Factors:
    """Scores by factors.

    Args:
        size: rows of the catalog.
        rows: catalog rows with events.
        factors: of these items, (rows, FACTORS).
    """

    name = "factors"
    settings = ("seed",)

    def __init__(self, size: int, rows: Rows, factors: Scores) -> None:
        self.places = Places(size, rows)
        self.factors = factors

    @classmethod
    def fit(
        cls, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()
    ) -> Self:
        """Factorise the log."""
        rows = np.flatnonzero(log.counts)
        if not len(rows):
            return cls(log.size, rows, np.empty((0, FACTORS), np.float32))
        with (
            implicit_cpu() as implicit,
            progress.task("Training channel factors", ITERATIONS, "iterations") as task,
        ):
            model = implicit.als.AlternatingLeastSquares(
                factors=FACTORS,
                regularization=LAMBDA,
                alpha=1 + ALPHA,
                iterations=ITERATIONS,
                random_state=settings.seed,
            )
            model.fit(log.over(rows).matrix, show_progress=False, callback=lambda *_: task.advance())
        return cls(log.size, rows, model.item_factors)

    @classmethod
    def restore(cls, catalog: Catalog, state: Arrays, settings: RankSettings) -> Self:
        """Read the factors back."""
        return cls(len(catalog), state["rows"].astype(np.intp), state["factors"].astype(np.float32))

    def state(self) -> Arrays:
        """The factors and their rows."""
        return {"rows": self.places.rows.astype(np.int64), "factors": self.factors}

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """Yu at ``rows``, NaN for items without events; None where no item of the history has any."""
        user = self._user(taste)
        if user is None:
            return None
        at = self.places.positions(rows)
        return np.where(at >= 0, self.factors[at] @ user, np.nan).astype(np.float32)

    def propose(self, taste: Taste, count: int) -> Rows:
        """The rows with the highest scores."""
        user = self._user(taste)
        if user is None:
            return np.empty(0, np.intp)
        best = self.places.rows[top(self.factors @ user, count)]
        return best[best >= 0]

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """What each history item adds to the score, which is their sum."""
        target = self.places.positions(np.array([row], np.intp))[0]
        history = self.places.positions(taste.history)
        if target < 0 or not (history >= 0).any():
            return None
        chosen = self.factors[history[history >= 0]]
        influence = np.zeros(len(history), np.float32)
        influence[history >= 0] = (
            (1 + ALPHA) * chosen @ np.linalg.solve(self._matrix(chosen), self.factors[target])
        )
        return influence

    @cached_property
    def _gram(self) -> NDArray[np.float64]:
        factors = self.factors.astype(np.float64)
        return factors.T @ factors + LAMBDA * np.eye(factors.shape[1])

    def _matrix(self, chosen: Scores) -> NDArray[np.float64]:
        return self._gram + ALPHA * (chosen.T @ chosen)

    def _user(self, taste: Taste) -> Scores | None:
        """The factors of whoever has that history."""
        history = self.places.positions(taste.history)
        if not (history >= 0).any():
            return None
        chosen = self.factors[history[history >= 0]]
        user: Scores = np.linalg.solve(self._matrix(chosen), (1 + ALPHA) * chosen.sum(axis=0))
        return user.astype(np.float32)


@contextmanager
def implicit_cpu() -> Iterator[Any]:
    """The package ``implicit.cpu`` while BLAS has one thread: with more it trains several times slower."""
    import implicit.cpu.als
    import implicit.cpu.bpr
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        yield implicit.cpu
