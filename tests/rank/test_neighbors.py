"""Users with the same taste: rare items tell more, and one item in common tells little."""

from __future__ import annotations

import math

import pytest

from llmrec.rank.neighbors import Overlap, liked, nearest, rarity
from llmrec.schema import Interaction


def choices(**users: str) -> list[tuple[str, str]]:
    """(user, item) for each letter."""
    return [(user, item) for user, items in users.items() for item in items]


EQUAL = dict.fromkeys("abcdefghijklmnopqrstuvwxyz", 1.0)


def found(own: str, weights: dict[str, float] = EQUAL, k: int = 10, **users: str) -> list[Overlap]:
    return nearest(list(own), choices(**users), weights, k)


def test_the_similarity_is_the_shrunk_cosine_of_weighted_sets() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 3.0}
    (overlap,) = found("ab", weights, u="bc")
    cosine = 4 / math.sqrt((1 + 4) * (4 + 9))
    assert overlap.similarity == pytest.approx(cosine * 1 / 6)
    assert overlap.shared == ("b",)


def test_a_user_of_one_item_is_not_the_nearest() -> None:
    overlaps = found("abcdef", single="a", same="abcdef", near="abcdez")
    assert [overlap.user_id for overlap in overlaps] == ["same", "near", "single"]
    assert overlaps[0].similarity == pytest.approx(6 / 11)


def test_a_rare_item_in_common_tells_more_than_a_popular_one() -> None:
    weights = rarity({"hit": 1000, "odd": 2, "x": 50, "y": 50})
    assert weights["odd"] > weights["x"] > weights["hit"] > 0
    pairs = [("both hit", "hit"), ("both hit", "x"), ("both odd", "odd"), ("both odd", "y")]
    overlaps = nearest(["hit", "odd"], pairs, weights, 5)
    assert [overlap.user_id for overlap in overlaps] == ["both odd", "both hit"]


def test_what_is_shared_comes_rarest_first() -> None:
    (overlap,) = found("abc", {"a": 1.0, "b": 3.0, "c": 2.0}, u="abc")
    assert overlap.shared == ("b", "c", "a")


def test_equal_users_go_by_id_and_no_more_than_k() -> None:
    assert [overlap.user_id for overlap in found("ab", k=2, w="ab", v="ab", u="ab")] == ["u", "v"]


def test_who_shares_nothing_is_no_neighbour() -> None:
    assert found("ab", u="cd") == []
    assert found("ab") == []
    assert rarity({}) == {}


def test_items_that_nobody_counted_yet() -> None:
    # An event may come between counting the items and reading the histories.
    (overlap,) = nearest(["a", "new"], [("u", "a"), ("u", "new")], {"a": 1.0}, 5)
    assert overlap.similarity == pytest.approx(2 / 7)
    (overlap,) = nearest(["new"], [("u", "new")], {}, 5)
    assert math.isfinite(overlap.similarity)


def test_liked_is_what_has_at_least_the_mean_weight() -> None:
    events = [Interaction("u", item, 1.0, weight) for item, weight in zip("abc", (5, 1, 3), strict=True)]
    assert liked(events) == ["a", "c"]
    assert liked([Interaction("u", "a", 1.0), Interaction("u", "b", 1.0)]) == ["a", "b"]
    assert liked([]) == []
