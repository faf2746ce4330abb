"""The scorer: contributions add up, and a channel that says nothing adds nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from llmrec.rank.features import ITEM, USER
from llmrec.rank.scorer import Scored, WeightedScorer

USER_FEATURES = np.zeros(len(USER), np.float32)

numbers = st.floats(-100, 100, width=32)
channels = st.integers(1, 40).flatmap(
    lambda size: st.dictionaries(
        st.sampled_from("abcd"), arrays(np.float32, size, elements=numbers), min_size=1
    )
)


def combine(weights: dict[str, float], said: Mapping[str, np.ndarray], size: int | None = None) -> Scored:
    """The scorer's answer where nothing is known of user and items."""
    count = len(next(iter(said.values()))) if size is None else size
    return WeightedScorer(weights)(said, USER_FEATURES, np.zeros((count, len(ITEM)), np.float32))


def slope(weights: dict[str, float], scores: np.ndarray) -> np.ndarray:
    items = np.zeros((len(scores), len(ITEM)), np.float32)
    return WeightedScorer(weights).slope("a", scores, USER_FEATURES, items)


@settings(deadline=None)
@given(channels)
def test_contributions_add_up_to_the_total(said: dict[str, np.ndarray]) -> None:
    scored = combine({"a": 1.0, "b": 0.3, "c": -0.5}, said)
    assert scored.total.dtype == np.float32
    assert np.isfinite(scored.total).all()
    assert set(scored.contributions) == set(said) & set("abc")
    total = sum(scored.contributions.values(), np.zeros_like(scored.total))
    np.testing.assert_array_equal(total, scored.total)
    assert all(values.dtype == np.float32 for values in scored.contributions.values())


def test_a_weight_means_the_same_whatever_the_scale() -> None:
    rng = np.random.default_rng(0)
    small = rng.standard_normal(1000).astype(np.float32)
    scored = combine({"a": 1.0, "b": 0.25}, {"a": small, "b": 1000 * small + 7})
    apart = (small - small.mean()) / small.std()
    damped = np.sign(apart) * np.log1p(np.abs(apart))
    np.testing.assert_allclose(scored.contributions["a"], damped, atol=1e-3)
    np.testing.assert_allclose(scored.contributions["b"], 0.25 * scored.contributions["a"], atol=1e-3)


@settings(deadline=None)
@given(numbers, st.integers(1, 2000))
def test_a_constant_channel_adds_nothing(value: float, size: int) -> None:
    scores = np.full(size, value, np.float32)
    assert not combine({"a": 1.0}, {"a": scores}).total.any()
    assert not slope({"a": 1.0}, scores).any()


def test_a_channel_that_is_constant_but_for_rounding_adds_nothing() -> None:
    # Items with the same text: their cosines differ in the last bit, by the position in the matrix.
    scores = np.full(1000, 0.731, np.float32)
    scores[::7] = np.nextafter(scores[0], np.float32(1))
    assert not combine({"a": 1.0}, {"a": scores}).total.any()
    assert not slope({"a": 1.0}, scores).any()


def test_small_differences_count_where_they_are_real() -> None:
    scored = combine({"a": 1.0}, {"a": np.array([1e-6, 2e-6, 3e-6], np.float32)})
    assert scored.total.tolist() == pytest.approx([-0.7996, 0.0, 0.7996], abs=1e-3)


@pytest.mark.filterwarnings("error")
def test_scores_too_close_to_divide_by_their_spread_add_nothing() -> None:
    scored = combine({"a": 1.0}, {"a": np.array([1e-45, 0.0, 0.0], np.float32)})
    assert scored.total.tolist() == [0.0, 0.0, 0.0]


def test_a_weight_of_zero_or_none_leaves_a_channel_out() -> None:
    said = {name: np.array([1.0, 2.0], np.float32) for name in "abc"}
    scored = combine({"a": 1.0, "b": 0.0}, said)
    assert set(scored.contributions) == {"a"}
    assert not slope({}, said["a"]).any()


def test_no_channel_says_anything() -> None:
    scored = combine({"a": 1.0}, {}, 3)
    assert (scored.total.tolist(), dict(scored.contributions)) == ([0.0, 0.0, 0.0], {})


def test_what_a_channel_does_not_know_gets_nothing_from_it() -> None:
    scored = combine({"a": 1.0}, {"a": np.array([1.0, np.nan, 3.0], np.float32)})
    np.testing.assert_allclose(scored.total, [-np.log(2), 0, np.log(2)], rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_no_candidates() -> None:
    scored = combine({"a": 1.0}, {"a": np.empty(0, np.float32)})
    assert len(scored.total) == 0


@settings(deadline=None)
@given(arrays(np.float32, 12, elements=st.floats(-5, 5, width=32)), st.integers(0, 11))
def test_slope_is_what_a_unit_of_the_channel_adds(scores: np.ndarray, at: int) -> None:
    found = slope({"a": 0.7}, scores)
    if not found.any():
        return
    # Along the damped scale, with mean and spread as they are.
    spread = scores.std(dtype=np.float64)
    place = (float(scores[at]) - scores.mean(dtype=np.float64)) / spread
    step = 1e-3
    damped = [np.sign(z) * np.log1p(abs(z)) for z in (place - step, place + step)]
    assert found[at] == pytest.approx(0.7 * (damped[1] - damped[0]) / (2 * step * spread), rel=1e-2)
