"""Where the items that training saw are in a catalog, which may be a later one than it was trained on."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from llmrec.rank.log import Rows

Number = TypeVar("Number", bound=np.floating[Any])


class Places:
    """The rows of a trained channel.

    Args:
        size: rows of the catalog.
        rows: the row of each item that training saw, -1 for one that is no longer there.
    """

    def __init__(self, size: int, rows: Rows) -> None:
        self.size = size
        self.rows = rows
        self._there = np.flatnonzero(rows >= 0)
        self._position = np.full(size, -1, np.intp)
        self._position[rows[self._there]] = self._there

    def positions(self, rows: Rows) -> NDArray[np.intp]:
        """The position among the items of training of each of ``rows``, -1 where training never saw it."""
        return self._position[rows]

    def spread(self, values: NDArray[Number], other: float) -> NDArray[Number]:
        """``values``, one for each item of training, over the whole catalog (size,); ``other`` elsewhere."""
        full = np.full(self.size, other, values.dtype)
        full[self.rows[self._there]] = values[self._there]
        return full
