"""The best of many scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def top(scores: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Positions of the ``count`` highest scores, best first; equal scores by position."""
    count = min(count, len(scores))
    if count == 0:
        return np.empty(0, np.intp)
    best = np.argpartition(-scores, count - 1)[:count]
    # argpartition picks among equal scores at random: take all that tie with the last, then sort.
    best = np.flatnonzero(scores >= scores[best].min())
    order = np.lexsort((best, -scores[best]))[:count]
    return np.asarray(best[order])
