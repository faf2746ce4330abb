"""Pairs come from the training period only, look ahead, and are drawn the same way each time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from small_training import DAY, log_of, pair_settings, topical_log

from llmrec.errors import TrainingError
from llmrec.evaluate.splits import leave_last_out
from llmrec.rank.log import Log
from llmrec.rank.practice import HELD, held_back
from llmrec.training.negatives import hard_negatives
from llmrec.training.pairs import (
    HISTORY,
    Pairs,
    check_period,
    not_negatives,
    sample_pairs,
    training_period,
)


@pytest.fixture
def log() -> Log:
    return topical_log()


def told(pairs: Pairs) -> list[tuple[int, int, int, int]]:
    return [
        *zip(
            *(part.tolist() for part in (pairs.users, pairs.known, pairs.anchors, pairs.targets)), strict=True
        )
    ]


def test_pairs_are_those_of_the_windows(log: Log) -> None:
    pairs = sample_pairs(log, pair_settings(window_events=3), 0)
    assert len(set(told(pairs))) == len(pairs)
    for user, known, anchor, target in told(pairs):
        rows = log.rows[log.span(user)].tolist()
        assert known <= rows.index(target) < known + 3
        if anchor == HISTORY:
            assert known >= 1, "nothing is known of a user before their first event"
        else:
            assert known <= rows.index(anchor) < rows.index(target)
    one = [(known, target) for user, known, anchor, target in told(pairs) if user == 0 and anchor == HISTORY]
    rows = log.rows[log.span(0)].tolist()
    begun = min(known for known, _ in one)
    assert [target for _, target in sorted(one, key=lambda pair: rows.index(pair[1]))] == rows[begun:], (
        "every event after the first window is a target once"
    )


def test_events_far_apart_make_no_pair() -> None:
    log = log_of((f"u{user}", row, 100.0 * row) for user in range(20) for row in range(20))
    near = sample_pairs(log, pair_settings(window_events=5, window_days=200), 0)
    of_items = near.anchors != HISTORY
    apart = log.times[near.targets[of_items]] - log.times[near.anchors[of_items]]
    assert apart.max() == 200 * DAY
    with pytest.raises(TrainingError, match="to learn from"):
        sample_pairs(log_of([("u0", 0, 0.0), ("u1", 1, 0.0)]), pair_settings(), 0)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_nothing_that_is_asked_or_practised_on_is_in_the_training_period(lengths: list[int]) -> None:
    whole = log_of((f"u{user:02}", row, 60.0 * row) for user, n in enumerate(lengths) for row in range(n))
    period = keys(training_period(whole))
    for split in leave_last_out(whole):
        assert not period & {(case.user, row) for case in split.cases for row in case.targets.tolist()}
    for log in (whole, leave_last_out(whole)[1].train):
        newest = log.where(log.newest(held_back(log)[log.at_user]))
        assert not period & keys(newest)
    long = np.flatnonzero(whole.lengths >= 20)
    left = training_period(whole).lengths
    assert (left[long] == whole.lengths[long] - 2 - HELD).all(), "no more than these is lost"


def keys(log: Log) -> set[tuple[int, int]]:
    return {*zip(log.at_user.tolist(), log.rows.tolist(), strict=True)}


def test_nothing_after_the_training_period_is_in_a_pair(log: Log) -> None:
    validation, _ = leave_last_out(log)
    pairs = sample_pairs(validation.train, pair_settings(), 0)
    check_period(pairs, validation.train)
    held = {(user, int(log.rows[log.span(user)][-at])) for user in range(len(log.users)) for at in (1, 2)}
    assert not held & {(user, row) for user, _, *rows in told(pairs) for row in rows}


def test_a_planted_leak_is_caught(log: Log) -> None:
    train = leave_last_out(log)[0].train
    clean = sample_pairs(train, pair_settings(), 0)
    last = int(log.rows[log.span(3)][-1])
    at = np.flatnonzero(clean.users == 3)[:1]
    for name in ("targets", "anchors"):
        planted = getattr(clean, name).copy()
        planted[at] = last
        with pytest.raises(TrainingError, match="1 pairs, such as one of user 'u03'"):
            check_period(replace(clean, **{name: planted}), train)
    with pytest.raises(TrainingError, match="out of order"):
        check_period(replace(clean, known=clean.known + 1), train)
    with pytest.raises(TrainingError, match="not of the training period"):
        check_period(sample_pairs(log, pair_settings(), 0), train)


def test_the_seed_decides(log: Log) -> None:
    settings = pair_settings(per_user=10, debiasing=0.5)
    assert told(sample_pairs(log, settings, 1)) == told(sample_pairs(log, settings, 1))
    assert told(sample_pairs(log, settings, 1)) != told(sample_pairs(log, settings, 2))


def test_no_user_gives_more_than_their_share(log: Log) -> None:
    whole = np.bincount(sample_pairs(log, pair_settings(), 0).users)
    capped = np.bincount(sample_pairs(log, pair_settings(per_user=7), 0).users)
    assert whole.min() > 7
    assert set(capped.tolist()) == {7}


def test_debiasing_thins_popular_items_by_their_count() -> None:
    log = topical_log(users=900, length=4)
    targets = sample_pairs(log, pair_settings(), 0).targets
    kept = sample_pairs(log, pair_settings(debiasing=1.0), 0).targets
    before, after = np.bincount(targets, minlength=30), np.bincount(kept, minlength=30)
    middle = np.median(log.counts[targets])
    share = after / before
    assert np.all(share[log.counts <= middle] == 1.0)
    popular = log.counts > middle
    np.testing.assert_allclose(share[popular], (middle / log.counts)[popular], atol=0.05)
    assert log.counts[kept].mean() < 0.95 * log.counts[targets].mean()


def test_users_with_one_event_give_nothing(log: Log) -> None:
    alone = [(f"v{number}", number, 0.5) for number in range(5)]
    events = [
        (log.users[user], int(row), time / DAY)
        for user, row, time in zip(log.at_user, log.rows, log.times, strict=True)
    ]
    more = log_of([*events, *alone])
    pairs = sample_pairs(more, pair_settings(), 0)
    assert {more.users[user] for user in pairs.users} == set(log.users)


def test_too_little_to_learn_from() -> None:
    with pytest.raises(TrainingError, match=r"gives 0 pairs .* takes 100"):
        sample_pairs(log_of([]), pair_settings(), 0)
    alone = log_of(("u0", row, float(row)) for row in range(30))
    with pytest.raises(TrainingError, match="of one user"):
        sample_pairs(alone, pair_settings(window_events=20), 0)


def test_what_a_user_ever_chose_is_no_negative(log: Log) -> None:
    users, rows = np.array([0, 5]), np.array([0, 2, 3, 29])
    expected = [[row in log.rows[log.span(user)] for row in rows] for user in users]
    assert not_negatives(log, users, rows).tolist() == expected
    assert np.any(expected)


def test_hard_negatives_are_near_and_were_not_chosen(log: Log) -> None:
    angles = np.linspace(0, np.pi, 30)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    pairs = sample_pairs(log, pair_settings(), 0)
    found = hard_negatives(log, vectors, pairs, 3, 0)
    assert found.shape == (len(pairs), 3)
    assert np.array_equal(found, hard_negatives(log, vectors, pairs, 3, 0))
    same = found == pairs.targets[:, None]
    assert not same.all(axis=1).any(), "each user has items that they did not choose"
    for user, rows in zip(pairs.users, found, strict=True):
        assert not not_negatives(log, np.array([user]), rows).any()
