"""Explanations of a workspace: its explainer, loaded beside other work, and the evidence that it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from llmrec.explain import LANGUAGES, Case, Explainer, Told, gather, load_explainer
from llmrec.progress import Progress
from llmrec.prompts import load_prompt
from llmrec.rank.channel import Taste
from llmrec.rank.influence import LeavingOut, TextVector
from llmrec.rank.itemknn import ItemKnn
from llmrec.rank.linear import Linear
from llmrec.rank.log import Rows
from llmrec.rank.ranker import Ranker
from llmrec.schema import Recommendation
from llmrec.workspace import Workspace

_CITED_HISTORY = 5
_OF_OTHERS = (ItemKnn.name, Linear.name)
"""Channels that learn from what the same people chose."""
_LEAST_PEOPLE = 3
"""Other people's choices are told only of so many."""


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


class Explaining:
    """Explains what one ranker recommends.

    Args:
        workspace: whose settings name the explainer, and where explanations are kept.
        ranker: of the present snapshot.
        progress: where to show what is loaded.
    """

    def __init__(self, workspace: Workspace, ranker: Ranker, progress: Progress) -> None:
        self.workspace = workspace
        self.ranker = ranker
        self.progress = progress
        self._explainer: Future[Explainer] | None = None
        self._leaving_out: LeavingOut | None = None

    def prepare(self) -> Future[Explainer]:
        """Begin to load the explainer, where that has not begun."""
        if self._explainer is None:
            loader = ThreadPoolExecutor(max_workers=1)
            self._explainer = loader.submit(self._load)
            loader.shutdown(wait=False)
        return self._explainer

    def each(
        self, entries: Sequence[Recommendation], rows: Rows, question: Question, told: Told | None = None
    ) -> Iterator[Recommendation]:
        """``entries`` explained by what moved their scores, in order, as many at once as the explainer likes.

        Args:
            entries: recommendations of the ranker's.
            rows: their items'.
            question: that they answer.
            told: hears what is written of one that is written alone, before it is verified.
        """
        explained = self.prepare().result().explain_each(self._cases(entries, rows, question), told)
        for entry, explanation in zip(entries, explained, strict=True):
            yield replace(entry, explanation=explanation)

    def evidence(
        self, entries: Sequence[Recommendation], rows: Rows, question: Question
    ) -> Iterator[Recommendation]:
        """``entries`` with the evidence that explanations would have; no language model is loaded."""
        language = LANGUAGES[self.workspace.settings.explain.language]
        for entry, case in zip(entries, self._cases(entries, rows, question), strict=True):
            yield replace(entry, evidence=gather(case, language))

    def _cases(self, entries: Sequence[Recommendation], rows: Rows, question: Question) -> Iterator[Case]:
        for entry, row in zip(entries, rows.tolist(), strict=True):
            yield self._case(entry, row, question)

    def _case(self, entry: Recommendation, row: int, question: Question) -> Case:
        """What is known of a recommendation: liked items whose absence would lower its score come first."""
        catalog, taste = self.ranker.catalog, question.taste
        places = [place for place, liked in enumerate(taste.history.tolist()) if liked in question.liked]
        leaving_out = self._without(question)
        strongest = leaving_out.strongest(row, places, _CITED_HISTORY)
        cited = catalog.items(taste.history[[place for place, _ in strongest]])
        return Case(
            catalog.items(np.array([row], np.intp))[0],
            tuple((item, influence) for item, (_, influence) in zip(cited, strongest, strict=True)),
            entry.contributions,
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
        people = self.workspace.events.together(ids[row], [*found]) if found else {}
        return {item: channel for item, channel in found.items() if people[item] >= _LEAST_PEOPLE}

    def _without(self, question: Question) -> LeavingOut:
        """The passes of the present question, kept while its recommendations are explained one by one."""
        kept = self._leaving_out
        if kept is None or not _same(kept.taste, question.taste):
            kept = self._leaving_out = LeavingOut(self.ranker, question.taste, question.text_vector)
        return kept

    def _load(self) -> Explainer:
        settings = self.workspace.settings
        return load_explainer(
            settings.models.explainer,
            load_prompt(settings.explain.prompt, self.workspace.root / "prompts"),
            settings.explain,
            self.ranker.catalog.titles(),
            self.workspace.events.explanations(),
            self.progress,
        )


def _same(one: Taste, other: Taste) -> bool:
    if one.vector is None or other.vector is None:
        vectors = one.vector is other.vector
    else:
        vectors = np.array_equal(one.vector, other.vector)
    moment = (one.asked, one.now) == (other.asked, other.now)
    return moment and vectors and np.array_equal(one.history, other.history)
