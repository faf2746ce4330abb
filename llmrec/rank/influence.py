"""What a score owes to the history: an item is left out, and every channel scores again.

The channels' own :meth:`~llmrec.rank.channel.Channel.influence` are shares of one score, each in its own
scale; their sum, over the slopes of the scorer, is a first-order estimate. It does not see that without the
newest item the others count as newer, that the user's text changes, or that all other items are scored
differently too. So it only chooses which items are worth leaving out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Rows
from llmrec.rank.ranker import Ranker

TRIED = 12
"""Items of a history that are left out for one recommended item: those with the largest estimates."""

TextVector = Callable[[Rows], Scores | None]
"""The unit vector of the user's text, given the rows of their history; None where there is no text."""


class LeavingOut:
    """Influences on the scores of items that one taste was recommended.

    A pass over the candidates is made once for each item that is left out, and serves all that were
    recommended. The candidates are those of the whole history, so that a score changes by nothing else.

    Args:
        ranker: whose scores.
        taste: the whole one.
        text_vector: makes the vector of a taste that lacks an item.
    """

    def __init__(self, ranker: Ranker, taste: Taste, text_vector: TextVector) -> None:
        self.ranker = ranker
        self.taste = taste
        self._text_vector = text_vector
        self._rows = self._candidates(np.empty(0, np.intp))
        self._totals: dict[int | None, Scores] = {}
        self._shares: tuple[int, dict[str, Scores]] | None = None

    def strongest(self, row: int, places: Collection[int], count: int) -> list[tuple[int, float]]:
        """Items without which the score of ``row`` is lower, and by how much, in units of the score.

        Args:
            row: a recommended item.
            places: positions in the history that may be named.
            count: how many at most.

        Returns:
            (position in the history, influence above 0), the largest influence first.
        """
        if row not in self._rows:
            self._rows = self._candidates(np.array([row], np.intp))
            self._totals.clear()
        estimates = np.asarray(sum(self.shares(row).values(), np.zeros(len(self.taste.history), np.float32)))
        allowed = np.array(sorted(places), np.intp)
        tried = allowed[np.argsort(-estimates[allowed], kind="stable")][:TRIED]
        at = int(np.searchsorted(self._rows, row))
        full = self._without(None)[at]
        found = [(place, float(full - self._without(place)[at])) for place in tried.tolist()]
        return sorted((one for one in found if one[1] > 0), key=lambda one: -one[1])[:count]

    def shares(self, row: int) -> dict[str, Scores]:
        """What :meth:`Ranker.influences` estimates; kept until another row is asked about."""
        if self._shares is None or self._shares[0] != row:
            self._shares = row, self.ranker.influences(self.taste, row)
        return self._shares[1]

    def _without(self, place: int | None) -> Scores:
        """Scores of all candidates for the history without one of its items; None: for the whole."""
        if place not in self._totals:
            self._totals[place] = self.ranker.totals(self._taste_without(place), self._rows)
        return self._totals[place]

    def _taste_without(self, place: int | None) -> Taste:
        if place is None:
            return self.taste
        history = np.delete(self.taste.history, place)
        vector = self.taste.vector if self.taste.asked else self._text_vector(history)
        return replace(self.taste, history=history, vector=vector)

    def _candidates(self, also: Rows) -> Rows:
        rows = self.ranker.panel.candidates(self.taste, also=also)
        return rows[~np.isin(rows, self.taste.history) | np.isin(rows, also)]
