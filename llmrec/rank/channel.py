"""What a channel is: one way of scoring the catalog for a user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llmrec.config import RankSettings
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.log import Log, Rows

Scores = NDArray[np.float32]

Arrays = Mapping[str, NDArray[np.generic]]
"""What training found. The array ``rows``, where there is one, holds catalog rows: it is translated when the
state is read for another version of the catalog, where -1 stands for an item that is no longer there."""


@dataclass(frozen=True, slots=True)
class Taste:
    """What is known of whoever asks.

    Args:
        history: rows of their items, newest first.
        vector: unit vector of their text, None where there is none.
        asked: whether that text is a query of theirs, rather than made of their history.
        now: the time of the question, seconds since the epoch; None: the end of the log.
    """

    history: Rows = field(default_factory=lambda: np.empty(0, np.intp))
    vector: Scores | None = None
    asked: bool = False
    now: float | None = None


class Channel(Protocol):
    """Scores items for a taste. Any scale will do: the scorer standardises."""

    @property
    def name(self) -> str:
        """The key of its contributions."""

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """A score for each of ``rows``, higher is better, NaN where it knows nothing of an item.

        None where it has nothing to say of this taste.
        """

    def propose(self, taste: Taste, count: int) -> Rows:
        """Its best ``count`` rows, for catalogs too large to score whole."""

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """What each history item adds to this channel's score of ``row``; None where nothing does."""

    def state(self) -> Arrays:
        """What training found; empty for a channel that is not trained."""


class ChannelType(Protocol):
    """How a channel comes to be: trained on a log, or read back from its state."""

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of the settings that it depends on."""

    def fit(self, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress) -> Channel:
        """Train on a log."""

    def restore(self, catalog: Catalog, state: Arrays, settings: RankSettings) -> Channel:
        """Read back what :meth:`Channel.state` gave."""
