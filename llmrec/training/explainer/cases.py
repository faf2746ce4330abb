"""Cases to explain from the training period: what a user chose, because of what they had liked before."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from llmrec.explain.evidence import HISTORY, Case, clean
from llmrec.rank.catalog import Catalog
from llmrec.rank.log import Log, Rows
from llmrec.schema import Item

_UNKNOWN, _ASKED, _POPULAR, _SILENT = 0.1, 0.15, 0.1, 0.15
"""Shares of cases without a history, with a query, whose popularity leads, and of an item without text.

The recommender meets each of them now and then, and a model writes no evidence well that it never saw. One
that had nearly always seen three liked items numbered facts as if there were three, and one that had nearly
always seen a description made one up.
"""
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
    """Events that have another before them, as (user, place in their history), in a random order."""
    found = [
        (int(user), int(place))
        for user in users
        for place in 1 + rng.permutation(int(log.lengths[user]) - 1)[:per_user]
    ]
    return [found[at] for at in rng.permutation(len(found))]


def case_of(log: Log, catalog: Catalog, event: tuple[int, int], rng: np.random.Generator) -> Case:
    """The case of recommending an event's item to its user just before.

    Items of the history that weigh at least the mean may be called liked; those with the most similar vectors
    count as those that moved the score, of which one to three are told, as chance says. Nothing after the
    event is looked at.
    """
    user, place = event
    span = log.span(user)
    rows, weights = log.rows[span][: place + 1], log.weights[span][:place]
    (item,) = catalog.items(rows[place:])
    if rng.random() < _SILENT:
        item = replace(item, text="")
    kind, told = rng.random(), int(rng.integers(1, HISTORY + 1))
    if kind < _UNKNOWN:
        return Case(item, (), {"popularity": 1.0})
    liked = rows[:place][weights >= weights.mean() - 1e-6]
    likeness = catalog.vectors(liked) @ catalog.vectors(rows[place:])[0]
    strongest = np.argsort(-likeness, kind="stable")[:told]
    items = catalog.items(liked[strongest])
    history = tuple((one, float(value)) for one, value in zip(items, likeness[strongest], strict=True))
    if kind < _UNKNOWN + _ASKED:
        return Case(item, history, {}, _query(item, rng))
    return Case(item, history, {"popularity": float(kind > 1 - _POPULAR)})


def _query(item: Item, rng: np.random.Generator) -> str:
    """A request that an item answers, in words of its text: "comedy about a cowboy doll"."""
    words = clean(item.text[:1000]).split()
    start = int(rng.integers(max(1, len(words) - _QUERY)))
    about = " ".join(words[start : start + _QUERY]).strip(".,;:!?").lower()
    kind = clean(item.categories[0]).lower() if item.categories else "something"
    return f"{kind} about {about}" if about else kind
