"""Maximal marginal relevance: nothing changes at 0, and likeness is avoided above."""

from __future__ import annotations

import numpy as np
import pytest
from catalogs import World, unit_vectors

from llmrec.rank.channel import Taste
from llmrec.rank.diversity import diverse, diversified, pool_size
from llmrec.rank.ranker import Ranker

SCORES = np.linspace(3, -3, 40).astype(np.float32)


def likeness(vectors: np.ndarray, chosen: np.ndarray) -> float:
    """Mean cosine of each pair."""
    cosines = vectors[chosen] @ vectors[chosen].T
    return float(cosines[np.triu_indices(len(chosen), 1)].mean())


@pytest.mark.parametrize("k", [0, 1, 7, 40, 100])
def test_0_leaves_the_ranking_as_it_is(k: int) -> None:
    found = diversified(SCORES, unit_vectors(40), 0.0, k)
    np.testing.assert_array_equal(found, np.arange(min(k, 40)))


def test_1_takes_what_is_least_like_what_was_taken() -> None:
    vectors = unit_vectors(40)
    chosen = diversified(SCORES, vectors, 1.0, 12)
    assert chosen[0] == 0
    for place in range(1, 12):
        worst = (vectors @ vectors[chosen[:place]].T).max(axis=1)
        worst[chosen[:place]] = np.inf
        assert chosen[place] == np.argmin(worst)


def test_more_diversity_means_less_likeness() -> None:
    vectors = unit_vectors(40)
    found = [likeness(vectors, diversified(SCORES, vectors, value, 10)) for value in (0, 0.3, 0.6, 1)]
    assert (np.diff(found) <= 1e-6).all()
    assert found[0] - found[-1] > 0.1


def test_every_position_once_and_always_the_same() -> None:
    vectors = unit_vectors(40)
    for value in (0.0, 0.5, 1.0):
        found = diversified(SCORES, vectors, value, 40)
        assert sorted(found.tolist()) == list(range(40))
        np.testing.assert_array_equal(found, diversified(SCORES, vectors, value, 40))


def test_duplicates_are_spread() -> None:
    vectors = np.repeat(unit_vectors(4), 10, axis=0)
    assert diversified(SCORES, vectors, 0.0, 4).tolist() == [0, 1, 2, 3]
    chosen = diversified(SCORES, vectors, 0.9, 4)
    assert sorted(position // 10 for position in chosen) == [0, 1, 2, 3]


def test_equal_scores_and_equal_vectors_go_by_position() -> None:
    same = np.repeat(unit_vectors(1), 5, axis=0)
    assert diversified(np.ones(5, np.float32), same, 0.7, 5).tolist() == [0, 1, 2, 3, 4]


def test_the_scale_of_scores_does_not_matter() -> None:
    vectors = unit_vectors(40)
    np.testing.assert_array_equal(
        diversified(SCORES, vectors, 0.4, 10), diversified(SCORES * 1000 + 5, vectors, 0.4, 10)
    )


def test_nothing_to_choose_from() -> None:
    empty = diversified(np.empty(0, np.float32), np.empty((0, 8), np.float32), 0.5, 5)
    assert (len(empty), empty.dtype) == (0, np.intp)


def test_a_list_is_chosen_among_ten_times_its_length() -> None:
    assert (pool_size(10, 0.0), pool_size(3, 0.5), pool_size(50, 0.5)) == (10, 100, 500)


def test_ranked_rows_keep_their_scores(world: World) -> None:
    ranker = Ranker.fit(world.exact, world.log, world.settings)
    ranked = ranker.rank(Taste(np.array([90, 3], np.intp)), 60, np.empty(0, np.intp))
    assert diverse(world.exact, ranked, 0.0, 10) == ranked[:10]
    found = diverse(world.exact, ranked, 0.8, 10)
    assert found != ranked[:10]
    assert all(entry in ranked for entry in found)
    assert diverse(world.exact, [], 0.8, 10) == []
