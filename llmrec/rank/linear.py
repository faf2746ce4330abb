"""Channel ``linear``: EASE, a linear autoencoder over the log with a closed form (Steck, WWW 2019).

With X the user-item matrix, P = (XᵀX + λI)⁻¹ and B = I − P·diag(P)⁻¹, a history h scores as hB. Where users
are fewer than items, P = (I − XᵀMX)/λ with M = (XXᵀ + λI)⁻¹ gives exactly the same scores from a matrix of
the users' side only; the smaller side is inverted.
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
from llmrec.rank.popularity import top

_BLOCK = 2048


class Linear:
    """EASE scores. Items without events score 0.

    Args:
        matrix: users by items, binary.
        inverse: M (users, users) where ``dual``, else P (items, items), over the rows in ``rows``.
        diagonal: diagonal of P, one for each of ``rows``.
        rows: catalog rows that take part.
        regularisation: λ.
        dual: whether the users' side was inverted.
    """

    name = "linear"

    def __init__(
        self,
        size: int,
        matrix: sp.csr_matrix,
        inverse: Scores,
        diagonal: Scores,
        rows: Rows,
        regularisation: float,
        dual: bool,
    ) -> None:
        self.size = size
        self.matrix = matrix
        self.columns = matrix.tocsc()
        self.inverse = inverse
        self.diagonal = diagonal
        self.rows = rows
        self.regularisation = regularisation
        self.dual = dual
        self.position = np.full(size, -1, np.intp)
        self.position[rows] = np.arange(len(rows))

    @classmethod
    def fit(
        cls, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()
    ) -> Self:
        """Invert the smaller side; where both exceed ``ease_side``, the most popular items take part.

        Raises:
            ConfigError: ``ease_lambda`` is too small for the log.
        """
        full = log.matrix
        counts = np.asarray(full.sum(axis=0)).ravel()
        rows = np.flatnonzero(counts)
        users = int((np.diff(full.indptr) > 0).sum())
        if users > settings.ease_side and len(rows) > settings.ease_side:
            rows = np.sort(top(counts.astype(np.float32), settings.ease_side))
        matrix = full[:, rows].astype(np.float32).tocsr()
        matrix = matrix[np.diff(matrix.indptr) > 0]
        dual = matrix.shape[0] < matrix.shape[1]
        gram = (matrix @ matrix.T if dual else matrix.T @ matrix).toarray().astype(np.float32)
        inverse = _invert(gram, settings.ease_lambda)
        diagonal = _diagonal(matrix, inverse, settings.ease_lambda) if dual else inverse.diagonal().copy()
        return cls(full.shape[1], matrix, inverse, diagonal, rows, settings.ease_lambda, dual)

    @classmethod
    def restore(cls, catalog: Catalog, state: Arrays, settings: RankSettings) -> Self:
        """Read the matrices back."""
        rows = state["rows"].astype(np.intp)
        users = len(state["indptr"]) - 1
        data = np.ones(len(state["indices"]), np.float32)
        matrix = sp.csr_matrix((data, state["indices"], state["indptr"]), shape=(users, len(rows)))
        inverse, diagonal = state["inverse"].astype(np.float32), state["diagonal"].astype(np.float32)
        regularisation, dual = state["lambda"].item(), bool(state["dual"].item())
        return cls(len(catalog), matrix, inverse, diagonal, rows, regularisation, dual)

    def state(self) -> Arrays:
        """The arrays of the constructor; the matrix as CSR."""
        return {
            "indptr": self.matrix.indptr,
            "indices": self.matrix.indices,
            "inverse": self.inverse,
            "diagonal": self.diagonal,
            "rows": self.rows.astype(np.int64),
            "lambda": np.array(self.regularisation),
            "dual": np.array(self.dual),
        }

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """hB at ``rows``; None where no item of the history takes part."""
        scores = self._scores(taste)
        if scores is None:
            return None
        full = np.zeros(self.size, np.float32)
        full[self.rows] = scores
        return full[rows]

    def propose(self, taste: Taste, count: int) -> Rows:
        """The rows with the highest scores."""
        scores = self._scores(taste)
        return np.empty(0, np.intp) if scores is None else self.rows[top(scores, count)]

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """The entries of B between each history item and ``row``."""
        target = self.position[row]
        if target < 0 or not len(taste.history):
            return None
        history = self.position[taste.history]
        if self.dual:
            users = self.inverse @ self.columns[:, [target]].toarray().ravel()
            column = (self.columns[:, np.maximum(history, 0)].T @ users) / (
                self.regularisation * self.diagonal[target]
            )
        else:
            column = -self.inverse[np.maximum(history, 0), target] / self.diagonal[target]
        influence: Scores = np.where((history >= 0) & (history != target), column, 0).astype(np.float32)
        return influence

    def _scores(self, taste: Taste) -> Scores | None:
        history = self.position[taste.history]
        history = history[history >= 0]
        if not len(history):
            return None
        chosen = np.zeros(len(self.rows), np.float32)
        chosen[history] = 1
        if self.dual:
            product = (chosen - self.matrix.T @ (self.inverse @ (self.matrix @ chosen))) / self.regularisation
        else:
            product = self.inverse[np.unique(history)].sum(axis=0)
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
