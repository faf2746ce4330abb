"""What a channel is: one way of scoring the catalog for a user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from llmrec.config import RankSettings
from llmrec.rank.catalog import Catalog, Rows

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Taste:
    """What is known of whoever asks.

    Args:
        history: rows of their items, newest first.
        vector: unit vector of their text, None where there is none.
        asked: whether that text is a query of theirs, rather than made of their history.
    """

    history: Rows = field(default_factory=lambda: np.empty(0, np.intp))
    vector: Scores | None = None
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Interactions:
    """A log as a matrix: users by catalog rows, 1.0 where a user has an event with the item."""

    matrix: sp.csr_matrix
    users: tuple[str, ...] = ()


class Channel(Protocol):
    """Scores items for a taste. Any scale will do: the scorer standardises."""

    @property
    def name(self) -> str:
        """The key of its contributions."""

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """A score for each of ``rows``, higher is better; None where it has nothing to say of this taste."""

    def propose(self, taste: Taste, count: int) -> Rows:
        """Its best ``count`` rows, for catalogs too large to score whole."""

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """What each history item adds to this channel's score of ``row``; None where nothing does."""

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """What training found, as arrays; empty for a channel that is not trained."""


class ChannelType(Protocol):
    """How a channel comes to be: trained on a log, or read back from its state."""

    def fit(self, catalog: Catalog, interactions: Interactions, settings: RankSettings) -> Channel:
        """Train on a log."""

    def restore(self, catalog: Catalog, state: Mapping[str, NDArray[np.generic]]) -> Channel:
        """Read back what :meth:`Channel.state` gave."""
