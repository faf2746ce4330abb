"""From a ranker's recommendation to the case that an explanation is written of: what moved its score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llmrec.explain.evidence import Case
from llmrec.rank.channel import Taste
from llmrec.rank.influence import LeavingOut, TextVector
from llmrec.rank.itemknn import ItemKnn
from llmrec.rank.linear import Linear
from llmrec.rank.ranker import Ranker

_CITED_HISTORY = 5
_OF_OTHERS = (ItemKnn.name, Linear.name)
"""Channels that learn from what the same people chose."""
_LEAST_PEOPLE = 3
"""Other people's choices are told only of so many."""

Together = Callable[[str, Sequence[str]], Mapping[str, int]]
"""How many people chose both an item and another one, for each of several others, by ids."""


@dataclass(frozen=True, slots=True)
class Question:
    """Who asked for recommendations, and how.

    Args:
        taste: whom they were made for.
        liked: the rows of their history that they may be said to like.
        query: what they asked for.
        text_vector: makes the vector of their text, were their history another one.
    """

    taste: Taste
    liked: frozenset[int]
    query: str
    text_vector: TextVector


class Cases:
    """Makes cases of what one ranker recommends.

    Args:
        ranker: whose recommendations.
        together: of the people whose choices may be told of.
    """

    def __init__(self, ranker: Ranker, together: Together) -> None:
        self.ranker, self.together = ranker, together
        self._leaving_out: LeavingOut | None = None

    def __call__(self, row: int, contributions: Mapping[str, float], question: Question) -> Case:
        """What is known of a recommendation: liked items whose absence would lower its score come first.

        Args:
            row: the recommended item.
            contributions: each channel's share of its score.
            question: that it answers.
        """
        catalog, taste = self.ranker.catalog, question.taste
        places = [place for place, liked in enumerate(taste.history.tolist()) if liked in question.liked]
        leaving_out = self._without(question)
        strongest = leaving_out.strongest(row, places, _CITED_HISTORY)
        cited = catalog.items(taste.history[[place for place, _ in strongest]])
        return Case(
            catalog.items(np.array([row], np.intp))[0],
            tuple((item, influence) for item, (_, influence) in zip(cited, strongest, strict=True)),
            contributions,
            question.query,
            self._together(leaving_out, row, [place for place, _ in strongest]),
        )

    def _together(self, leaving_out: LeavingOut, row: int, places: Sequence[int]) -> Mapping[str, str]:
        """Items of the history whose people chose this one too: id to the channel that learnt it from them.

        Only where it took part in the score, and where too many people did for any of them to be known by it.
        """
        ids, shares = self.ranker.catalog.ids, leaving_out.shares(row)
        found = {}
        for place in places:
            said = {name: float(shares[name][place]) for name in _OF_OTHERS if name in shares}
            if said and max(said.values()) > 0:
                found[ids[leaving_out.taste.history[place]]] = max(said, key=said.__getitem__)
        people = self.together(ids[row], [*found]) if found else {}
        return {item: channel for item, channel in found.items() if people[item] >= _LEAST_PEOPLE}

    def _without(self, question: Question) -> LeavingOut:
        """The passes of the present question, kept while its recommendations are explained one by one."""
        kept = self._leaving_out
        if kept is None or not _same(kept.taste, question.taste):
            kept = self._leaving_out = LeavingOut(self.ranker, question.taste, question.text_vector)
        return kept


def _same(one: Taste, other: Taste) -> bool:
    if one.vector is None or other.vector is None:
        vectors = one.vector is other.vector
    else:
        vectors = np.array_equal(one.vector, other.vector)
    moment = (one.asked, one.now) == (other.asked, other.now)
    return moment and vectors and np.array_equal(one.history, other.history)
