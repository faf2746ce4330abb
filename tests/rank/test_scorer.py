"""The scorer: contributions add up, and a channel that says nothing adds nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from llmrec.rank.scorer import WeightedScorer

numbers = st.floats(-100, 100, width=32)
channels = st.integers(1, 40).flatmap(
    lambda size: st.dictionaries(
        st.sampled_from("abcd"), arrays(np.float32, size, elements=numbers), min_size=1
    )
)


@settings(deadline=None)
@given(channels)
def test_contributions_add_up_to_the_total(said: dict[str, np.ndarray]) -> None:
    scored = WeightedScorer({"a": 1.0, "b": 0.3, "c": -0.5})(said)
    assert scored.total.dtype == np.float32
    assert np.isfinite(scored.total).all()
    assert set(scored.contributions) == set(said) & set("abc")
    total = sum(scored.contributions.values(), np.zeros_like(scored.total))
    np.testing.assert_array_equal(total, scored.total)
    assert all(values.dtype == np.float32 for values in scored.contributions.values())


def test_a_weight_means_the_same_whatever_the_scale() -> None:
    rng = np.random.default_rng(0)
    small = rng.standard_normal(1000).astype(np.float32)
    scored = WeightedScorer({"a": 1.0, "b": 0.25})({"a": small, "b": 1000 * small + 7})
    assert scored.contributions["a"].std() == pytest.approx(1.0, abs=1e-3)
    assert scored.contributions["b"].std() == pytest.approx(0.25, abs=1e-3)
    np.testing.assert_allclose(scored.contributions["b"], 0.25 * scored.contributions["a"], atol=1e-3)


@settings(deadline=None)
@given(numbers, st.integers(1, 2000))
def test_a_constant_channel_adds_nothing(value: float, size: int) -> None:
    scores = np.full(size, value, np.float32)
    scorer = WeightedScorer({"a": 1.0})
    assert not scorer({"a": scores}).total.any()
    assert scorer.slope("a", scores) == 0.0


def test_a_channel_that_is_constant_but_for_rounding_adds_nothing() -> None:
    # Items with the same text: their cosines differ in the last bit, by the position in the matrix.
    scores = np.full(1000, 0.731, np.float32)
    scores[::7] = np.nextafter(scores[0], np.float32(1))
    scorer = WeightedScorer({"a": 1.0})
    assert not scorer({"a": scores}).total.any()
    assert scorer.slope("a", scores) == 0.0


def test_small_differences_count_where_they_are_real() -> None:
    scored = WeightedScorer({"a": 1.0})({"a": np.array([1e-6, 2e-6, 3e-6], np.float32)})
    assert scored.total.tolist() == pytest.approx([-1.2247, 0.0, 1.2247], abs=1e-3)


@pytest.mark.filterwarnings("error")
def test_scores_too_close_to_divide_by_their_spread_add_nothing() -> None:
    scored = WeightedScorer({"a": 1.0})({"a": np.array([1e-45, 0.0, 0.0], np.float32)})
    assert scored.total.tolist() == [0.0, 0.0, 0.0]


def test_a_weight_of_zero_or_none_leaves_a_channel_out() -> None:
    said = {name: np.array([1.0, 2.0], np.float32) for name in "abc"}
    scored = WeightedScorer({"a": 1.0, "b": 0.0})(said)
    assert set(scored.contributions) == {"a"}
    assert WeightedScorer({}).slope("a", said["a"]) == 0.0


def test_no_channel_says_anything() -> None:
    scored = WeightedScorer({"a": 1.0})({})
    assert (len(scored.total), dict(scored.contributions)) == (0, {})


@pytest.mark.filterwarnings("error")
def test_no_candidates() -> None:
    scored = WeightedScorer({"a": 1.0})({"a": np.empty(0, np.float32)})
    assert len(scored.total) == 0


@settings(deadline=None)
@given(arrays(np.float32, 12, elements=numbers), st.integers(0, 11), st.floats(-1, 1))
def test_slope_is_what_a_unit_of_the_channel_adds(scores: np.ndarray, at: int, step: float) -> None:
    scorer = WeightedScorer({"a": 0.7})
    slope = scorer.slope("a", scores)
    total = scorer({"a": scores}).total
    other = (at + 5) % 12
    expected = slope * (float(scores[at]) - float(scores[other]))
    assert total[at] - total[other] == pytest.approx(expected, abs=1e-3)
