"""Intervals and tests: against scipy, and where nothing differs."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from llmrec.evaluate import statistics
from llmrec.evaluate.statistics import difference, interval, intervals

VALUES = np.random.default_rng(1).beta(0.3, 2, 300)


def test_the_interval_is_scipys() -> None:
    theirs = stats.bootstrap(
        (VALUES,), np.mean, n_resamples=5_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    ours = interval(VALUES)
    assert ours.mean == pytest.approx(VALUES.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.002)
    assert ours.high - ours.low > 0.03


def test_the_p_value_is_scipys() -> None:
    rng = np.random.default_rng(3)
    other = np.clip(VALUES + rng.normal(-0.02, 0.1, len(VALUES)), 0, 1)
    theirs = stats.permutation_test(
        (other, VALUES), lambda a, b: (a - b).mean(), permutation_type="samples", n_resamples=5_000, rng=rng
    )
    ours = difference(other, VALUES)
    assert 0.001 < ours.p < 0.5
    assert ours.p == pytest.approx(theirs.pvalue, abs=0.02)
    assert ours.mean == pytest.approx((other - VALUES).mean())
    assert ours.low < ours.mean < ours.high


def test_the_same_seed_gives_the_same_interval() -> None:
    assert interval(VALUES, seed=4) == interval(VALUES, seed=4)
    assert interval(VALUES, seed=4) != interval(VALUES, seed=5)


def test_columns_share_their_draws() -> None:
    both = intervals(np.stack([VALUES, 2 * VALUES], axis=1))
    assert both[0].low == pytest.approx(interval(VALUES).low)
    assert both[1].high == pytest.approx(2 * both[0].high)


def test_the_size_of_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    other = VALUES + np.random.default_rng(3).normal(0.01, 0.1, len(VALUES))
    whole = astuple(difference(VALUES, other))
    monkeypatch.setattr(statistics, "_BLOCK", 1000)
    assert statistics._blocks(10, 300) == [3, 3, 3, 1]
    assert astuple(difference(VALUES, other)) == pytest.approx(whole, abs=1e-12)


def test_models_that_do_not_differ() -> None:
    same = difference(VALUES, VALUES)
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_a_difference_of_every_user_is_sure() -> None:
    sure = difference(VALUES + 0.1, VALUES)
    assert sure.p == 1 / (statistics.RESAMPLES + 1)
    assert sure.low == pytest.approx(0.1)


def test_one_user_has_an_interval_without_width() -> None:
    assert interval(np.array([0.25])) == statistics.Interval(0.25, 0.25, 0.25)
    with pytest.raises(ValueError, match="no users"):
        interval(np.empty(0))
