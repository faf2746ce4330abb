"""The best of many scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


def top(scores: NDArray[np.floating[Any]], count: int) -> NDArray[np.intp]:
    """Positions of the ``count`` highest scores, best first; equal scores by position."""
    count = min(count, len(scores))
    if count == 0:
        return np.empty(0, np.intp)
    best = np.argpartition(-scores, count - 1)[:count]
    # argpartition picks among equal scores at random: take all that tie with the last, then sort.
    best = np.flatnonzero(scores >= scores[best].min())
    order = np.lexsort((best, -scores[best]))[:count]
    return np.asarray(best[order])


def top_of_rows(matrix: sp.csr_matrix, count: int) -> sp.csr_matrix:
    """The ``count`` largest entries of each row; of equal ones the first columns."""
    keep = np.ones(matrix.nnz, bool)
    for row in np.flatnonzero(np.diff(matrix.indptr) > count):
        span = slice(matrix.indptr[row], matrix.indptr[row + 1])
        keep[span] = False
        keep[matrix.indptr[row] + top(matrix.data[span], count)] = True
    indptr = np.concatenate([[0], np.cumsum(keep)])[matrix.indptr].astype(matrix.indptr.dtype)
    return sp.csr_matrix((matrix.data[keep], matrix.indices[keep], indptr), shape=matrix.shape)
