"""Cases to explain from the training period: what the recommender offers to users as they were then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import scipy.sparse as sp

from llmrec.encode import load_encoder
from llmrec.explain.cases import Cases, Question
from llmrec.explain.evidence import Case, clean
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Log, Rows
from llmrec.rank.ranker import Ranker
from llmrec.schema import Item
from llmrec.users import UserTexts
from llmrec.workspace import Present, Workspace

_UNKNOWN, _ASKED, _SILENT, _FAVOURED = 0.1, 0.15, 0.1, 0.05
"""Shares of cases without a history, with a query, of an item without text, and whose popularity leads.

The recommender meets each of them now and then, and a model writes no evidence well that it never saw: one
that had nearly always seen a description made one up.
"""
_LISTED, _POPULAR = 10, 100
"""A case is one of so many recommendations; of a user of whom nothing is known, who all are offered the same,
one of more."""
_QUERY = 4


@dataclass(frozen=True, slots=True)
class Users:
    """Positions of users in a log: those whose events are learnt from, and those held out."""

    learnt: Rows
    held_out: Rows


def share_out(log: Log, held_out: int, seed: int) -> Users:
    """Hold out users with two events or more at random: ``held_out`` of them, a third at most."""
    users = np.flatnonzero(log.lengths >= 2)
    order = np.random.default_rng([seed, 1]).permutation(users)
    count = min(held_out, len(users) // 3)
    return Users(np.sort(order[count:]), np.sort(order[:count]))


def draw_events(log: Log, users: Rows, per_user: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Events that have another before them, as (user, place in their history), in a random order.

    A place is drawn with a probability in inverse proportion to its root, so that short histories are among
    them: a model that had nearly always seen three liked items numbered facts as if there were three.
    """
    found = []
    for user in users.tolist():
        odds = np.arange(1, log.lengths[user]) ** -0.5
        places = rng.choice(len(odds), min(per_user, len(odds)), replace=False, p=odds / odds.sum())
        found += [(user, 1 + place) for place in places.tolist()]
    return [found[at] for at in rng.permutation(len(found))]


class PastCases:
    """Recommendations to users just before their events, with what moved them.

    Of the user nothing is looked at that is not older than the event, and of other people's choices only
    those in ``log`` of the users who are learnt from are told. The ranker may have learnt from more: it
    decides what is recommended and which items of the history count for it.

    Args:
        log: the training period.
        learnt: users who are learnt from.
        ranker: of the workspace.
        texts: makes vectors of users' texts.
    """

    def __init__(self, log: Log, learnt: Rows, ranker: Ranker, texts: UserTexts) -> None:
        self.log, self.ranker, self.texts = log, ranker, texts
        self._chosen: sp.csc_matrix = log.matrix[learnt].tocsc()
        self._case = Cases(ranker, self.together)

    @classmethod
    def of(cls, workspace: Workspace, present: Present, catalog: Catalog, log: Log, learnt: Rows) -> Self:
        """Those of a workspace's snapshot, of which ``catalog`` is.

        Raises:
            WorkspaceError: its items were encoded by another model than its users would be.
        """
        settings = workspace.settings
        spec = workspace.require_encoder(present.snapshot).spec
        # At the end of the log, so that the same log always has the same items that are new.
        ranker = Ranker.load(present.channels, catalog, settings.rank, now=log.end)
        return cls(log, learnt, ranker, UserTexts(workspace, catalog, load_encoder(spec, settings.encoder)))

    def __call__(self, event: tuple[int, int], rng: np.random.Generator) -> Case | None:
        """The case of a recommendation to the user of an event, just before it.

        Chance says which of the recommendations it is, whether the user asked for something, whether their
        history, the item's text or every other reason than its popularity is left out. None if nothing is
        recommended.
        """
        user, place = event
        known, liked = self._known(user, place)
        kind, rest, query = rng.random(), rng.random(), ""
        if kind < _ASKED:
            (wanted,) = self.ranker.catalog.items(self.log.rows[self.log.span(user)][place : place + 1])
            query = _query(wanted, rng)
        if kind < _ASKED / 2 or kind > 1 - _UNKNOWN:
            known = known[:0]
        question = self._question(self.log.users[user], known[::-1], liked, query)
        count = _LISTED if len(known) or query else _POPULAR
        offered = self.ranker.rank(question.taste, count, known)
        if not offered:
            return None
        chosen = offered[int(rng.integers(len(offered)))]
        case = self._case(chosen.row, chosen.contributions, question)
        if rest < _SILENT:
            return replace(case, item=replace(case.item, text=""))
        return replace(case, contributions={"popularity": 1.0}) if rest > 1 - _FAVOURED else case

    def first(self, user: int) -> Case | None:
        """The case of the first recommendation to a user after all their events; None without one."""
        known, liked = self._known(user, int(self.log.lengths[user]))
        question = self._question(self.log.users[user], known[::-1], liked, "")
        offered = self.ranker.rank(question.taste, 1, known)
        return self._case(offered[0].row, offered[0].contributions, question) if offered else None

    def _known(self, user: int, count: int) -> tuple[Rows, frozenset[int]]:
        """The oldest ``count`` items of a user, and those of them that they may be said to like."""
        span = self.log.span(user)
        rows, weights = self.log.rows[span][:count], self.log.weights[span][:count]
        return rows, frozenset(rows[weights >= weights.mean() - 1e-6].tolist()) if count else frozenset()

    def together(self, item_id: str, others: Sequence[str]) -> Mapping[str, int]:
        """How many of the users who are learnt from chose an item and each of others."""
        catalog = self.ranker.catalog
        both = self._chosen[:, catalog.rows([item_id])].T @ self._chosen[:, catalog.rows(others)]
        return dict(zip(others, both.toarray()[0].astype(int).tolist(), strict=True))

    def _question(self, user_id: str, history: Rows, liked: frozenset[int], query: str) -> Question:
        def text_vector(rows: Rows) -> Scores | None:
            (vector,) = self.texts([(user_id, rows)])
            return vector if vector.any() else None

        if query:
            (vector,) = self.texts.encoder.encode([query], kind="query")
            return Question(Taste(history, vector, asked=True), liked, query, text_vector)
        return Question(Taste(history, text_vector(history)), liked, "", text_vector)


def _query(item: Item, rng: np.random.Generator) -> str:
    """A request that an item answers, in words of its text: "comedy about a cowboy doll"."""
    words = clean(item.text[:1000]).split()
    start = int(rng.integers(max(1, len(words) - _QUERY)))
    about = " ".join(words[start : start + _QUERY]).strip(".,;:!?").lower()
    kind = clean(item.categories[0]).lower() if item.categories else "something"
    return f"{kind} about {about}" if about else kind
