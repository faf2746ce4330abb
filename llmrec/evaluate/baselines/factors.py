"""Baselines ``ials`` (Hu et al., ICDM 2008) and ``bpr`` (Rendle et al., UAI 2009), by the package ``implicit``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from llmrec.errors import MissingExtraError
from llmrec.evaluate.model import Setting
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Log, Rows

_FOLD_STEPS = 100
_FOLD_NEGATIVES = 20


@dataclass(frozen=True, slots=True)
class FittedIals:
    """A trained ``implicit`` model; users are solved for from their history."""

    model: Any
    known: NDArray[np.bool_]

    def score(self, taste: Taste) -> Scores | None:
        """Inner products with the items; None where no item of the history has events."""
        history = taste.history[self.known[taste.history]]
        if not len(history):
            return None
        shape = (1, len(self.known))
        chosen = sp.csr_matrix((np.ones(len(history), np.float32), ([0] * len(history), history)), shape)
        with _one_blas_thread():
            user = self.model.recalculate_user(0, chosen)
        scores: Scores = self.model.item_factors @ user
        return scores


class Ials:
    """Weighted matrix factorisation by alternating least squares; a choice weighs ``alpha`` times a blank."""

    name = "ials"
    grid: tuple[Setting, ...] = tuple(
        {"factors": factors, "regularisation": regularisation, "alpha": alpha, "iterations": 15}
        for factors, regularisation, alpha in product((32, 64, 128), (1, 10, 50), (2, 10))
    )

    def fit(self, catalog: Catalog, log: Log, setting: Setting, seed: int, progress: Progress) -> FittedIals:
        """Factorise.

        Raises:
            MissingExtraError: ``implicit`` is not installed.
        """
        with _one_blas_thread(), progress.task("ials", int(setting["iterations"]), "iterations") as task:
            model = _implicit().cpu.als.AlternatingLeastSquares(
                factors=int(setting["factors"]),
                regularization=float(setting["regularisation"]),
                alpha=float(setting["alpha"]),
                iterations=int(setting["iterations"]),
                random_state=seed,
            )
            if len(log):
                model.fit(log.matrix, show_progress=False, callback=lambda *_: task.advance())
        return FittedIals(model, log.counts > 0)
