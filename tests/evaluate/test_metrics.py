"""Metrics: as an independent library computes them, and as their definitions say where scores are equal."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, strategies as st
from small_logs import log_of

from llmrec.evaluate.metrics import Shown, accuracy, by_user, places

NAMES = {
    "recall@10": "recall_10",
    "recall@20": "recall_20",
    "ndcg@10": "ndcg_cut_10",
    "ndcg@20": "ndcg_cut_20",
    "hit@10": "success_10",
    "hit@20": "success_20",
    "mrr": "recip_rank",
}


def test_metrics_agree_with_pytrec_eval() -> None:
    rng = np.random.default_rng(5)
    asked: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    ours = {}
    for case in range(200):
        scores = rng.permutation(60).astype(np.float32)
        targets = rng.choice(60, rng.integers(1, 30), replace=False)
        asked[str(case)] = {str(row): 1 for row in targets}
        run[str(case)] = {str(row): float(score) for row, score in enumerate(scores)}
        ours[str(case)] = accuracy(places(scores, targets))
    measures = {"recall.10,20", "ndcg_cut.10,20", "success.10,20", "recip_rank"}
    theirs = pytrec_eval.RelevanceEvaluator(asked, measures).evaluate(run)
    assert set(ours["0"]) == set(NAMES)
    for case, values in ours.items():
        for name, value in values.items():
            assert value == pytest.approx(theirs[case][NAMES[name]], abs=1e-9), (case, name)


def test_an_equal_score_counts_as_the_middle_rank() -> None:
    scores = np.array([3, 2, 2, 2, 1], np.float32)
    assert places(scores, np.array([2])).tolist() == [3.0]
    assert places(scores, np.array([0])).tolist() == [1.0]
    assert places(scores, np.array([4])).tolist() == [5.0]
    assert places(np.zeros(4, np.float32), np.array([1])).tolist() == [2.5]


def test_equal_targets_have_their_mean_places_in_a_random_order() -> None:
    rng = np.random.default_rng(0)
    drawn = [np.sort(rng.permutation(7)[:3]) + 1 for _ in range(20_000)]
    scores = np.array([9, 5, 5, 5, 5, 5, 5, 5, 1], np.float32)
    assert places(scores, np.array([2, 5, 7])) == pytest.approx(1 + np.mean(drawn, axis=0), abs=0.05)
    assert places(np.ones(3, np.float32), np.arange(3)).tolist() == [1.0, 2.0, 3.0]


@given(
    scores=st.lists(st.integers(0, 4), min_size=2, max_size=30),
    share=st.floats(0.05, 1.0),
    k=st.integers(1, 12),
)
def test_metrics_are_between_0_and_1_whatever_is_equal(scores: list[int], share: float, k: int) -> None:
    targets = np.arange(max(1, round(share * len(scores))))
    values = accuracy(places(np.array(scores, np.float32), targets), (k,))
    assert all(0 <= value <= 1 + 1e-12 for value in values.values())


def test_a_case_that_was_not_answered_counts_0() -> None:
    assert set(accuracy(np.full(2, np.inf)).values()) == {0.0}


def test_a_user_counts_once_however_many_cases() -> None:
    users = np.array([4, 1, 4, 4])
    assert by_user(users, np.array([1.0, 0.5, 0.0, 0.5])).tolist() == [0.5, 0.5]


def shown() -> Shown:
    """Four users of whom all have item 0, two item 1, one item 2; of 8 items."""
    events = [(user, 0, 1.0) for user in "abcd"] + [("a", 1, 2.0), ("b", 1, 2.0), ("a", 2, 3.0)]
    return Shown(log_of(events, size=8), cutoffs=(1, 2))


def test_coverage_novelty_and_popularity_by_hand() -> None:
    looked = shown()
    looked.add(2, np.array([-np.inf, 5, 4, 0, 0, 0, 0, 0], np.float32), np.array([0]))
    looked.add(3, np.array([-np.inf, 5, 0, 4, 0, 0, 0, 0], np.float32), np.array([0]))
    values = looked.values()
    assert values["coverage@1"] == 1 / 8
    assert values["coverage@2"] == 3 / 8
    assert values["novelty@1"] == pytest.approx(-np.log2(3 / 5))
    none, one, two = -np.log2([1 / 5, 2 / 5, 3 / 5])
    assert values["novelty@2"] == pytest.approx((two + one + two + none) / 4)
    assert values["popularity@1"] == pytest.approx(2 / 4 - 1)
    assert values["popularity@2"] == pytest.approx(((2 + 1) / 2 + (2 + 0) / 2) / 2 / 4 - 1)


def test_what_is_shown_is_never_nan() -> None:
    assert shown().values() == {}
    looked = shown()
    looked.add(0, np.full(8, -np.inf, np.float32), np.arange(8))
    assert looked.values() == {}
    looked.add(0, np.zeros(8, np.float32), np.array([7]))
    assert looked.values()["popularity@1"] == 0.0
    assert np.isfinite([*looked.values().values()]).all()
