"""Channel ``linear``: EASE, a linear autoencoder in closed form (Steck, WWW 2019).

With X the user-item matrix, P = (XᵀX + λI)⁻¹ and B = I − P·diag(P)⁻¹, a history h scores as hB; here the
newer items of h count more. Where users are fewer than items, P = (I − XᵀMX)/λ with M = (XXᵀ + λI)⁻¹ gives
exactly the same scores from a matrix of the users' side only; the smaller side is inverted.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lapack

from llmrec.config import RankSettings
from llmrec.errors import ConfigError
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, Scores, Taste
from llmrec.rank.log import Log, Rows
from llmrec.rank.places import Places
from llmrec.rank.top import top

_BLOCK = 2048


class Linear:
    """EASE scores.

    Args:
        matrix: users by items, binary.
        inverse: M (users, users) where ``dual``, else P (items, items), over the rows in ``rows``.
        diagonal: diagonal of P, one for each of ``rows``.
        rows: catalog rows that take part.
        regularisation: λ.
        dual: whether the users' side was inverted.
        forgetting: exponent by which older items of a history count less; 0 is EASE as published.
    """

    name = "linear"
    settings = ("ease_lambda", "ease_forgetting", "ease_side")

    def __init__(
        self,
        size: int,
        matrix: sp.csr_matrix,
        inverse: Scores,
        diagonal: Scores,
        rows: Rows,
        regularisation: float,
        dual: bool,
        forgetting: float = 0.0,
    ) -> None:
        self.matrix = matrix
        self.columns = matrix.tocsc()
        self.inverse = inverse
        self.diagonal = diagonal
        self.regularisation = regularisation
        self.dual = dual
        self.forgetting = forgetting
        self.places = Places(size, rows)

    @classmethod
    def fit(
        cls, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()
    ) -> Self:
        """Invert the smaller side; of a log both of whose sides exceed ``ease_side`` nothing is learnt.

        Its cost is the cube of that side: 10,000 take some gigabytes and a minute. The channel ``factors``
        has no such limit.

        Raises:
            ConfigError: ``ease_lambda`` is too small for the log.
        """
        rows = np.flatnonzero(log.counts)
        if min(int((log.lengths > 0).sum()), len(rows)) > settings.ease_side:
            rows = np.empty(0, np.intp)
        matrix = log.matrix[:, rows].astype(np.float32).tocsr()
        matrix = matrix[np.diff(matrix.indptr) > 0]
        dual = matrix.shape[0] < matrix.shape[1]
        gram = (matrix @ matrix.T if dual else matrix.T @ matrix).toarray().astype(np.float32)
        inverse = _invert(gram, settings.ease_lambda)
        diagonal = _diagonal(matrix, inverse, settings.ease_lambda) if dual else inverse.diagonal().copy()
        return cls(
            log.size, matrix, inverse, diagonal, rows, settings.ease_lambda, dual, settings.ease_forgetting
        )

    @classmethod
    def restore(cls, catalog: Catalog, state: Arrays, settings: RankSettings) -> Self:
        """Read the matrices back."""
        rows = state["rows"].astype(np.intp)
        users = len(state["indptr"]) - 1
        data = np.ones(len(state["indices"]), np.float32)
        matrix = sp.csr_matrix((data, state["indices"], state["indptr"]), shape=(users, len(rows)))
        inverse, diagonal = state["inverse"].astype(np.float32), state["diagonal"].astype(np.float32)
        regularisation, dual = state["lambda"].item(), bool(state["dual"].item())
        forgetting = settings.ease_forgetting
        return cls(len(catalog), matrix, inverse, diagonal, rows, regularisation, dual, forgetting)

    def state(self) -> Arrays:
        """The arrays of the constructor; the matrix as CSR."""
        return {
            "indptr": self.matrix.indptr,
            "indices": self.matrix.indices,
            "inverse": self.inverse,
            "diagonal": self.diagonal,
            "rows": self.places.rows.astype(np.int64),
            "lambda": np.array(self.regularisation),
            "dual": np.array(self.dual),
        }

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """hB at ``rows``, NaN for items that do not take part; None where none of the history does."""
        scores = self._scores(taste)
        return None if scores is None else self.places.spread(scores, np.nan)[rows]

    def propose(self, taste: Taste, count: int) -> Rows:
        """The rows with the highest scores."""
        scores = self._scores(taste)
        if scores is None:
            return np.empty(0, np.intp)
        best = self.places.rows[top(scores, count)]
        return best[best >= 0]

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """The entries of B between each history item and ``row``."""
        target = self.places.positions(np.array([row], np.intp))[0]
        if target < 0 or not len(taste.history):
            return None
        history = self.places.positions(taste.history)
        if self.dual:
            users = self.inverse @ self.columns[:, [target]].toarray().ravel()
            column = (self.columns[:, np.maximum(history, 0)].T @ users) / (
                self.regularisation * self.diagonal[target]
            )
        else:
            column = -self.inverse[np.maximum(history, 0), target] / self.diagonal[target]
        moves = (history >= 0) & (history != target)
        influence: Scores = np.where(moves, column * self._recency(len(history)), 0).astype(np.float32)
        return influence

    def _recency(self, length: int) -> Scores:
        """Weights of a history, the newest item first."""
        return np.arange(1, length + 1, dtype=np.float32) ** np.float32(-self.forgetting)

    def _scores(self, taste: Taste) -> Scores | None:
        history = self.places.positions(taste.history)
        known = history >= 0
        if not known.any():
            return None
        chosen = np.zeros(len(self.places.rows), np.float32)
        chosen[history[known]] = self._recency(len(history))[known]
        if self.dual:
            product = (chosen - self.matrix.T @ (self.inverse @ (self.matrix @ chosen))) / self.regularisation
        else:
            product = chosen @ self.inverse
        scores: Scores = (chosen - product / self.diagonal).astype(np.float32)
        return scores


def _invert(gram: Scores, regularisation: float) -> Scores:
    """Inverse of gram + λI by Cholesky, in place: one matrix of float32 in memory."""
    if not len(gram):
        return gram
    gram.flat[:: len(gram) + 1] += regularisation
    factor, failed = lapack.spotrf(gram, lower=True, overwrite_a=True, clean=False)
    if failed:
        raise ConfigError(
            f"[rank] ease_lambda = {regularisation}: too small for this log, EASE's matrix is singular",
            "Take a larger one; the default is 50.",
        )
    inverse, _ = lapack.spotri(factor, lower=True, overwrite_c=True)
    lower = np.tril(inverse)
    full: Scores = np.ascontiguousarray(lower + np.tril(inverse, -1).T)
    return full


def _diagonal(matrix: sp.csr_matrix, inverse: Scores, regularisation: float) -> Scores:
    """Diagonal of P from M: (1 − xⱼᵀMxⱼ)/λ, a block of items at a time."""
    columns = matrix.tocsc()
    diagonal = np.empty(matrix.shape[1], np.float32)
    for start in range(0, len(diagonal), _BLOCK):
        block = columns[:, start : start + _BLOCK]
        product = block.multiply(inverse @ block.toarray())
        diagonal[start : start + _BLOCK] = (1 - np.asarray(product.sum(axis=0)).ravel()) / regularisation
    return diagonal
