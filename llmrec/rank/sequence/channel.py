"""The channel: training by torch, answers by NumPy."""

from __future__ import annotations

from typing import Self

import numpy as np

from llmrec.config import RankSettings
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, Scores, Taste
from llmrec.rank.log import Log, Rows
from llmrec.rank.places import Places
from llmrec.rank.sequence.forward import LENGTH, SCALE, Floats, Weights, last_state
from llmrec.rank.top import top

_OWN, _BIAS, _CONTENT = "own", "bias", "content.weight"
_PREFIX = "network."
_USERS = 10
"""Users with two events that a log must have for its order to be learnt."""


class Sequence:
    """How well an item continues the history.

    An item's embedding is a projection of its text's vector, plus one of its own if training saw it. So new
    items are scored as soon as they are indexed.

    Args:
        catalog: the items, for their vectors.
        rows: catalog rows that training saw.
        weights: of the network, by name; empty where the log was too small to train on.
    """

    name = "sequence"
    settings = ("sequence_epochs", "seed")

    def __init__(self, catalog: Catalog, rows: Rows, weights: Weights) -> None:
        self.catalog = catalog
        self.places = Places(len(catalog), rows)
        self.weights = weights

    @classmethod
    def fit(
        cls, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()
    ) -> Self:
        """Train on the order of the events; on none where fewer than ten users have two.

        Raises:
            TrainingError: the loss became NaN.
        """
        if (log.lengths > 1).sum() < _USERS:
            return cls(catalog, np.empty(0, np.intp), {})
        from llmrec.rank.sequence.training import train

        rows = np.flatnonzero(log.counts)
        vectors = np.ascontiguousarray(catalog.vectors(rows))
        weights = train(log.over(rows), vectors, settings.sequence_epochs, settings.seed, progress)
        return cls(catalog, rows, weights)

    @classmethod
    def restore(cls, catalog: Catalog, state: Arrays, settings: RankSettings) -> Self:
        """Read the weights back."""
        weights = {
            name.removeprefix(_PREFIX): array.astype(np.float32)
            for name, array in state.items()
            if name.startswith(_PREFIX)
        }
        return cls(catalog, state["rows"].astype(np.intp), weights)

    def state(self) -> Arrays:
        """The weights by name, and the rows of the items' own embeddings."""
        named = {f"{_PREFIX}{name}": array for name, array in self.weights.items()}
        return {"rows": self.places.rows.astype(np.int64), **named}

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """Logits of ``rows``; None without a history, or where nothing was trained."""
        state = self._state(taste)
        if state is None:
            return None
        scores = self.catalog.vectors(rows) @ (self.weights[_CONTENT].T @ state)
        own = self._own(state)
        known = self.places.positions(rows)
        return np.asarray(scores + np.where(known >= 0, own[known], 0), np.float32)

    def propose(self, taste: Taste, count: int) -> Rows:
        """The best rows of two kinds: those whose own embeddings fit, and those whose texts do."""
        state = self._state(taste)
        if state is None:
            return np.empty(0, np.intp)
        wanted = self.weights[_CONTENT].T @ state
        length = float(np.linalg.norm(wanted))
        near = self.catalog.table.nearest(wanted / length, count)[0] if length else []
        own = self.places.rows[top(self._own(state), count)]
        rows = np.union1d(self.catalog.rows(near), own[own >= 0])
        scores = self.score(taste, rows)
        assert scores is not None
        return rows[top(scores, count)]

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """What leaving each of the newest items out takes from the logit."""
        state = self._state(taste)
        if state is None:
            return None
        (target,), known = self._embedded(np.array([row], np.intp)), self.places.positions(np.array([row]))[0]
        bias = self.weights[_BIAS][known] if known >= 0 else 0.0
        influence = np.zeros(len(taste.history), np.float32)
        for place in range(min(LENGTH, len(taste.history))):
            rest = self._state(Taste(np.delete(taste.history[:LENGTH], place)))
            influence[place] = target @ (state - rest) if rest is not None else target @ state + bias
        return influence

    def _state(self, taste: Taste) -> Floats | None:
        """The network's state after the history, (width,)."""
        history = taste.history[:LENGTH][::-1]
        if not self.weights or not len(history):
            return None
        return last_state(self.weights, np.asarray(self._embedded(history) * SCALE, np.float32))

    def _embedded(self, rows: Rows) -> Floats:
        """Embeddings of items, (rows, width)."""
        known = self.places.positions(rows)
        own = np.where((known >= 0)[:, None], self.weights[_OWN][known], 0)
        return np.asarray(self.catalog.vectors(rows) @ self.weights[_CONTENT].T + own)

    def _own(self, state: Floats) -> Floats:
        """What the items' own embeddings and biases say, for each that training saw."""
        return np.asarray(self.weights[_OWN] @ state + self.weights[_BIAS])
