"""What the fusion's gate sees of an item and of a user."""

from __future__ import annotations

from typing import Self

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, Scores, Taste
from llmrec.rank.log import DAY, Log, Rows
from llmrec.rank.places import Places
from llmrec.schema import Columns

ITEM = ("known", "new", "events", "age", "picture", "sound")
"""Whether the log has the item; whether it has not, since the item is newer; how often, since when; and
whether it has pictures or sound."""
NEW = ITEM.index("new")
USER = ("history",)
"""The length of the history."""


class Features:
    """Features between 0 and about 1, from what is known at the time of the question.

    Args:
        size: rows of the catalog.
        rows: catalog rows with events.
        counts: users with an event, for each of ``rows``.
        first: time of the first event, seconds since the epoch, for each of ``rows``.
        end: the end of the log.
        modalities: whether an item has pictures and sound, (items, 2).
        new: catalog rows of items without events that came after the log ended.
    """

    def __init__(
        self,
        size: int,
        rows: Rows,
        counts: NDArray[np.float32],
        first: NDArray[np.float64],
        end: float,
        modalities: NDArray[np.bool_],
        new: Rows,
    ) -> None:
        self.rows, self.counts, self.first, self.end = rows, counts, first, end
        places = Places(size, rows)
        self._first = places.spread(first, np.inf)
        self._fixed = np.zeros((size, len(ITEM)), np.float32)
        self._fixed[:, 0] = np.isfinite(self._first)
        self._fixed[new, NEW] = 1 - self._fixed[new, 0]
        self._fixed[:, 2] = places.spread(np.log1p(counts) / 10, 0)
        self._fixed[:, 4:] = modalities

    @classmethod
    def fit(cls, catalog: Catalog, log: Log) -> Self:
        """Count events and note the first of each item."""
        rows = np.flatnonzero(log.counts)
        counts = log.counts[rows].astype(np.float32)
        return cls(log.size, rows, counts, log.first[rows], log.end, _modalities(catalog), log.new)

    @classmethod
    def restore(cls, catalog: Catalog, state: Arrays, new: Rows) -> Self:
        """Read back what :meth:`state` gave; ``new``: rows of items that came after the log ended."""
        rows, counts = state["rows"].astype(np.intp), state["counts"].astype(np.float32)
        first, end = state["first"].astype(np.float64), float(state["end"].item())
        return cls(len(catalog), rows, counts, first, end, _modalities(catalog), new)

    def state(self) -> Arrays:
        """``rows``, ``counts``, ``first`` and ``end``."""
        return {
            "rows": self.rows.astype(np.int64),
            "counts": self.counts,
            "first": self.first,
            "end": np.array(self.end),
        }

    def items(self, taste: Taste, rows: Rows) -> Scores:
        """Features of items, (rows, len(ITEM))."""
        features = self._fixed[rows]
        now = self.end if taste.now is None else taste.now
        age = np.maximum(now - self._first[rows], 0) / DAY
        features[:, 3] = np.log1p(np.where(np.isfinite(age), age, 0)) / 10
        return features

    def user(self, taste: Taste) -> Scores:
        """Features of who asks, (len(USER),)."""
        return np.array([np.log1p(len(taste.history)) / 10], np.float32)


def _modalities(catalog: Catalog) -> NDArray[np.bool_]:
    """Whether items name pictures and sounds; a video is both."""
    named = np.zeros((len(catalog), 3), bool)
    start = 0
    for batch in catalog.table.scan([Columns.IMAGES, Columns.AUDIO, Columns.VIDEO]):
        for at, column in enumerate(batch.columns):
            named[start : start + len(column), at] = np.asarray(pc.list_value_length(column).fill_null(0)) > 0
        start += batch.num_rows
    return named[:, :2] | named[:, 2:]
