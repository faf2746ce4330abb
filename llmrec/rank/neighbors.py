"""Users with the same taste: histories compared as sets of items, the rarer items counting more."""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from llmrec.rank.catalog import Catalog
from llmrec.schema import Interaction, Neighbor
from llmrec.store.events import EventStore

_SHRINKAGE = 5
"""Shared items at which a similarity counts half: two users with one item each are no neighbours yet."""

_NEWEST = 1_000
_COMPARED = 2_000
"""Items by which users are found, and how many of these are compared."""

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Overlap:
    """How alike another user's history is, 0 to 1, and the items in both, the rarest first."""

    user_id: str
    similarity: float
    shared: tuple[str, ...]


def rarity(users: Mapping[str, int]) -> dict[str, float]:
    """Inverse popularity of each item, log(1 + largest number of users / its own); ``users`` is by item."""
    most = max(users.values(), default=1)
    return {item: math.log1p(most / count) for item, count in users.items()}


def nearest(
    own: Collection[str], choices: Iterable[tuple[str, str]], weights: Mapping[str, float], k: int
) -> list[Overlap]:
    """The ``k`` users whose items are most like ``own``, most alike first; equal ones by id.

    The similarity is the cosine of the item sets, each item weighing its rarity (TF-IDF of sets), times
    n / (n + 5) for n shared items.

    Args:
        own: distinct item ids.
        choices: (user, item), once each, one user after the other.
        weights: what each item weighs; one that is missing weighs as much as the heaviest.
        k: how many at most.
    """
    heaviest = max(weights.values(), default=1.0)

    def squares(items: Iterable[str]) -> float:
        return math.fsum(weights.get(item, heaviest) ** 2 for item in items)

    def compare(user: str, items: list[str]) -> Overlap:
        shared = sorted(mine.intersection(items), key=lambda item: (-weights.get(item, heaviest), item))
        cosine = squares(shared) / math.sqrt(total * squares(items)) if shared else 0.0
        return Overlap(user, cosine * len(shared) / (len(shared) + _SHRINKAGE), tuple(shared))

    mine, total = frozenset(own), squares(own)
    compared = (compare(user, [item for _, item in pairs]) for user, pairs in groupby(choices, itemgetter(0)))
    alike = (overlap for overlap in compared if overlap.shared)
    return heapq.nsmallest(k, alike, key=lambda overlap: (-overlap.similarity, overlap.user_id))


def liked(events: Sequence[Interaction]) -> list[str]:
    """Items that a user gave at least their own mean weight: the ones that may be called liked."""
    if not events:
        return []
    mean = math.fsum(event.weight for event in events) / len(events)
    return [event.item_id for event in events if event.weight >= mean or math.isclose(event.weight, mean)]


def neighbors(
    events: EventStore, catalog: Catalog, own: Sequence[str], without: str | None, k: int
) -> list[Neighbor]:
    """The ``k`` users whose events are most like ``own``, as the event store is now.

    The 2,000 users who share the most of the newest 1,000 items are compared.

    Args:
        events: where users and their items are.
        catalog: the items that may be shown.
        own: distinct item ids, newest first.
        without: a user who is left out: the one who asks.
        k: how many at most.
    """
    users = events.sharing(own[:_NEWEST], without, _COMPARED)
    overlaps = nearest(own, events.choices(users), rarity(events.popularity()), k) if users else []
    return [_shown(overlap, events.history(overlap.user_id), catalog, frozenset(own)) for overlap in overlaps]


def _shown(
    overlap: Overlap, history: Sequence[Interaction], catalog: Catalog, own: frozenset[str]
) -> Neighbor:
    weight = {event.item_id: event.weight for event in reversed(history)}
    unseen = dict.fromkeys(item for item in liked(history) if item not in own)
    best = sorted(unseen, key=lambda item: -weight[item])  # equal ones stay newest first
    shared, new = (catalog.rows(ids)[:_SHOWN] for ids in (overlap.shared, best))
    return Neighbor(
        overlap.user_id, overlap.similarity, tuple(catalog.items(shared)), tuple(catalog.items(new))
    )
