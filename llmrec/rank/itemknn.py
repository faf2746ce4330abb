"""Channel ``itemknn``: items that users choose near each other in time, from the user's newest items.

Item-based nearest neighbours with three changes for logs that have an order: a pair counts by how near the
two stand in a user's history (1/distance within a window, both directions), by how near its time is to the
time of the question, and the history's newest items count most (1/position). On small logs this is ahead of
every other single channel (README, "Measured").

The time of a pair is kept by era, one of a few equal parts of the log's time, so that a question at any time
is answered by one sparse product.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from llmrec.config import RankSettings
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, Scores, Taste
from llmrec.rank.log import DAY, Log, Rows
from llmrec.rank.places import Places
from llmrec.rank.top import top, top_of_rows

NEIGHBOURS = 2_000
"""Neighbours kept of an item."""
HISTORY = 100
"""Newest items of a history that are read: the next would weigh less than 1%."""
_DAMPING = 0.5
"""Exponent of the popularity of the history's item; that of the scored item is ``knn_damping``."""
_EVENTS = 2_000_000
"""Events whose pairs are counted at once."""
_ERAS = 32
"""Parts of the log's time, the most of them; else each is a quarter of the half-life."""


class ItemKnn:
    """Sum of the similarities between the newest items of the history and an item.

    Args:
        size: rows of the catalog.
        rows: catalog rows with events, sorted.
        similarity: (rows, eras * rows), its rows the items of a history, its columns the items that are
            scored, one era after the other; as of the end of the log.
        eras: the middle of each, seconds since the epoch, (eras,).
        end: the end of the log.
        half_life: seconds; an era counts where it is shorter.
    """

    name = "itemknn"
    settings = ("knn_window", "knn_damping", "knn_days")

    def __init__(
        self,
        size: int,
        rows: Rows,
        similarity: sp.csr_matrix,
        eras: NDArray[np.float64],
        end: float,
        half_life: float,
    ) -> None:
        self.places = Places(size, rows)
        self.similarity = similarity
        self.eras, self.end, self.half_life = eras, end, half_life

    @classmethod
    def fit(
        cls, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()
    ) -> Self:
        """Count what stands near what, and when."""
        rows, half_life = np.flatnonzero(log.counts), settings.knn_days * DAY
        eras, era = _eras(log.times, half_life)
        near = _near(log.over(rows), settings.knn_window, era, len(eras))
        popularity = log.counts[rows] + 1.0
        shares = np.exp2(-_ages(eras, log.end, half_life))
        columns = np.outer(shares, popularity**-settings.knn_damping).ravel()
        scaled = sp.diags(popularity**-_DAMPING) @ near @ sp.diags(columns)
        similarity = top_of_rows(scaled.tocsr().astype(np.float32), NEIGHBOURS)
        return cls(log.size, rows, similarity, eras, log.end, half_life)

    @classmethod
    def restore(cls, catalog: Catalog, state: Arrays, settings: RankSettings) -> Self:
        """Read the similarities back."""
        rows, eras = state["rows"].astype(np.intp), state["eras"].astype(np.float64)
        parts = (state["data"].astype(np.float32), state["indices"], state["indptr"])
        similarity = sp.csr_matrix(parts, shape=(len(rows), len(eras) * len(rows)))
        return cls(len(catalog), rows, similarity, eras, state["end"].item(), settings.knn_days * DAY)

    def state(self) -> Arrays:
        """The similarities as CSR, their rows, ``eras`` and ``end``."""
        matrix = self.similarity
        return {
            "rows": self.places.rows.astype(np.int64),
            "data": matrix.data,
            "indices": matrix.indices,
            "indptr": matrix.indptr,
            "eras": self.eras,
            "end": np.array(self.end),
        }

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """The sums; NaN for items without events, None where no item of the history has any."""
        scores = self._scores(taste)
        return None if scores is None else self.places.spread(scores, np.nan)[rows]

    def propose(self, taste: Taste, count: int) -> Rows:
        """The rows with the highest scores above 0."""
        scores = self._scores(taste)
        if scores is None:
            return np.empty(0, np.intp)
        best = top(scores, count)
        found = self.places.rows[best[scores[best] > 0]]
        return found[found >= 0]

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """The weighted similarity of each history item."""
        target = self.places.positions(np.array([row], np.intp))[0]
        if target < 0 or not len(taste.history):
            return None
        at, weights = self._newest(taste)
        influence = np.zeros(len(taste.history), np.float32)
        if len(at):
            influence[at] = weights * self._near(taste, at)[:, [target]].toarray().ravel()
        return influence

    def _newest(self, taste: Taste) -> tuple[Rows, Scores]:
        """Places in the history of its newest items with events, and their weights."""
        at = np.flatnonzero(self.places.positions(taste.history[:HISTORY]) >= 0)
        return at, (1.0 / (1.0 + at)).astype(np.float32)

    def _scores(self, taste: Taste) -> Scores | None:
        at, weights = self._newest(taste)
        if not len(at):
            return None
        scores: Scores = self._near(taste, at).T @ weights
        return scores.astype(np.float32)

    def _near(self, taste: Taste, at: Rows) -> sp.csr_matrix:
        """Similarities of the history's items at ``at`` at the time of the question, (at, rows)."""
        chosen, size = self.similarity[self.places.positions(taste.history[at])], len(self.places.rows)
        era, item = np.divmod(chosen.indices, size)
        # Later than the log all eras are older by the same time, which changes no order.
        now = self.end if taste.now is None else min(taste.now, self.end)
        shares = np.exp2(
            _ages(self.eras, self.end, self.half_life) - _ages(self.eras, now, self.half_life)
        ).astype(np.float32)
        return sp.csr_matrix((chosen.data * shares[era], item, chosen.indptr), shape=(len(at), size))


def _eras(times: NDArray[np.float64], half_life: float) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The middles of the eras, seconds since the epoch, (eras,), and the era of each time."""
    if not len(times):
        return np.zeros(1), np.empty(0, np.intp)
    first, span = times.min(), np.ptp(times)
    count = int(np.clip(np.ceil(4 * span / half_life), 1, _ERAS))
    era = np.minimum((times - first) * count / max(span, 1), count - 1).astype(np.intp)
    return first + (np.arange(count) + 0.5) * span / count, era


def _ages(eras: NDArray[np.float64], now: float, half_life: float) -> NDArray[np.float64]:
    """How far each era is from ``now``, before or after, in half-lives, none shorter than an era."""
    length = eras[1] - eras[0] if len(eras) > 1 else 0.0
    return np.asarray(np.abs(now - eras) / max(half_life, length))


def _near(log: Log, window: int, era: NDArray[np.intp], eras: int) -> sp.csr_matrix:
    """Sum over users of 1/distance for every two of their events within the window, (items, eras * items).

    A pair is of the era of the later one; ``era``: of each event.
    """
    rows, at_user, size = log.rows, log.at_user, log.size
    total = sp.csr_matrix((size, eras * size), dtype=np.float32)
    for start in range(0, len(rows), _EVENTS):
        for distance in range(1, window + 1):
            first = np.arange(start, min(start + _EVENTS, len(rows) - distance))
            first = first[at_user[first] == at_user[first + distance]]
            before, after, begin = rows[first], rows[first + distance], era[first + distance] * size
            weights = np.full(2 * len(first), 1 / distance, np.float32)
            of, to = np.concatenate([before, after]), np.concatenate([begin + after, begin + before])
            total += sp.csr_matrix((weights, (of, to)), shape=total.shape)
    return total
