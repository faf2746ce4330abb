"""Channels that know the time: ``recent``, what many chose lately, and ``recency``, what is new."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from llmrec.config import RankSettings
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, Scores, Taste
from llmrec.rank.log import DAY, Log, Rows
from llmrec.rank.places import Places
from llmrec.rank.top import top


class Recent:
    """Logarithm of one plus the number of events up to the question, each halved in ``half_life``.

    Args:
        size: rows of the catalog.
        rows: catalog row of each event, the oldest event first.
        times: of the events, seconds since the epoch.
        half_life: seconds.
    """

    name = "recent"
    settings = ("recent_days",)

    def __init__(self, size: int, rows: Rows, times: NDArray[np.float64], half_life: float) -> None:
        self.size = size
        self.rows = rows
        self.times = times
        self.half_life = half_life
        self._latest = self._count(float(times[-1])) if len(times) else None

    @classmethod
    def fit(
        cls, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()
    ) -> Self:
        """Put the events in order of time."""
        order = np.argsort(log.times, kind="stable")
        return cls(log.size, log.rows[order], log.times[order], settings.recent_days * DAY)

    @classmethod
    def restore(cls, catalog: Catalog, state: Arrays, settings: RankSettings) -> Self:
        """Read the events back."""
        rows, times = state["rows"].astype(np.intp), state["times"].astype(np.float64)
        return cls(len(catalog), rows, times, settings.recent_days * DAY)

    def state(self) -> Arrays:
        """``rows`` and ``times`` of the events, (events,)."""
        return {"rows": self.rows.astype(np.int64), "times": self.times}

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """The same for everyone who asks at that time; None where there was nothing shortly before."""
        scores = self._scores(taste)
        return None if scores is None or not scores.any() else scores[rows]

    def propose(self, taste: Taste, count: int) -> Rows:
        """The rows with the highest scores above 0."""
        scores = self._scores(taste)
        best = np.empty(0, np.intp) if scores is None else top(scores, count)
        return best if scores is None else best[scores[best] > 0]

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """It does not depend on the history."""
        return None

    def _scores(self, taste: Taste) -> Scores | None:
        if self._latest is None or taste.now is None or taste.now >= self.times[-1]:
            return self._latest
        return self._count(taste.now)

    def _count(self, now: float) -> Scores:
        first, end = np.searchsorted(self.times, (now - 20 * self.half_life, now), side="right")
        rows = self.rows[first:end]
        shares = np.exp2((self.times[first:end] - now) / self.half_life)
        present = rows >= 0
        counts = np.bincount(rows[present], weights=shares[present], minlength=self.size)
        return np.asarray(np.log1p(counts), np.float32)


class Recency:
    """Minus the logarithm of one plus an item's age in days: the time since its first event.

    An item without events is as new as one can be: 0.

    Args:
        size: rows of the catalog.
        rows: catalog rows with events.
        first: time of the first event of each, seconds since the epoch.
        end: the end of the log.
    """

    name = "recency"
    settings = ()

    def __init__(self, size: int, rows: Rows, first: NDArray[np.float64], end: float) -> None:
        self.rows, self.first, self.end = rows, first, end
        self._first = Places(size, rows).spread(first, np.inf)

    @classmethod
    def fit(
        cls, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()
    ) -> Self:
        """Note the first event of each item."""
        rows = np.flatnonzero(log.counts)
        return cls(log.size, rows, log.first[rows], log.end)

    @classmethod
    def restore(cls, catalog: Catalog, state: Arrays, settings: RankSettings) -> Self:
        """Read the times back."""
        first = state["first"].astype(np.float64)
        return cls(len(catalog), state["rows"].astype(np.intp), first, state["end"].item())

    def state(self) -> Arrays:
        """``first``: time of the first event of each of ``rows``; ``end``: of the log."""
        return {
            "rows": self.rows.astype(np.int64),
            "first": self.first,
            "end": np.array(self.end),
        }

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """The same for everyone who asks at that time; None where there is no log."""
        return self._scores(taste)[rows] if len(self.rows) else None

    def propose(self, taste: Taste, count: int) -> Rows:
        """The newest rows."""
        return top(self._scores(taste), count) if len(self.rows) else np.empty(0, np.intp)

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """It does not depend on the history."""
        return None

    def _scores(self, taste: Taste) -> Scores:
        now = self.end if taste.now is None else taste.now
        return np.asarray(-np.log1p(np.maximum(now - self._first, 0) / DAY), np.float32)
