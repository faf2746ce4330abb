"""Splits: what is learnt is before what is asked, and every event is accounted for."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from small_logs import SIZE, busy_log, history_of, log_of

from llmrec.errors import EvaluationError
from llmrec.evaluate.split import Split
from llmrec.evaluate.splits import (
    COLD_ITEMS,
    COLD_USERS,
    GLOBAL_TIME,
    LEAVE_LAST_OUT,
    MAX_CASES,
    MAX_TARGETS,
    SPLITS,
    cold_items,
    cold_users,
    global_time,
    leave_last_out,
)
from llmrec.rank.log import Log

EVENTS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.integers(0, SIZE - 1), st.integers(0, 12).map(float)),
    min_size=1,
    max_size=60,
)


def pairs(log: Log) -> set[tuple[int, int]]:
    return set(zip(log.at_user.tolist(), log.rows.tolist(), strict=True))


def place_of(log: Log, user: int, row: int) -> int:
    return log.rows[log.span(user)].tolist().index(row)


def check(split: Split, log: Log) -> None:
    """What holds of every stage of every protocol."""
    learnt = pairs(split.train)
    assert learnt <= pairs(log)
    assert pairs(split.log) <= pairs(log)
    assert split.train.users == split.log.users == log.users
    assert not np.isin(split.train.rows, split.cold).any()
    assert (split.train.times < split.boundary).all()
    assert all(count >= 0 for count in split.left_out.values())
    for case in split.cases:
        history = split.history(case).tolist()
        targets = case.targets.tolist()
        assert len(history) == case.known >= 1
        assert len(set(targets)) == len(targets) >= 1
        assert not {(case.user, row) for row in targets} & learnt
        known = [place_of(log, case.user, row) for row in history]
        assert known == sorted(known, reverse=True)
        assert max(known) < min(place_of(log, case.user, row) for row in targets)
        taste = split.taste(case)
        assert taste.now is not None
        assert taste.now >= split.log.times[split.log.span(case.user)][: case.known].max()
    assert split.counts["cases"] == len(split.cases)


@pytest.mark.parametrize("name", SPLITS)
@settings(max_examples=60, deadline=None)
@given(events=EVENTS)
def test_what_is_learnt_and_known_is_before_what_is_asked(
    name: str, events: list[tuple[str, int, float]]
) -> None:
    log = log_of(events)
    try:
        validation, test = SPLITS[name](log)
    except EvaluationError:
        assert name in (GLOBAL_TIME, COLD_USERS)
        return
    check(validation, log)
    check(test, log)
    asked = {(case.user, int(row)) for case in test.cases for row in case.targets}
    assert not asked & (pairs(validation.train) | pairs(validation.log))
    assert not set(validation.cold.tolist()) & set(test.cold.tolist())
    assert (validation.name, validation.stage, test.stage) == (name, "validation", "test")


@pytest.mark.parametrize("name", SPLITS)
@settings(max_examples=20, deadline=None)
@given(events=EVENTS, order=st.randoms())
def test_the_order_of_the_file_decides_nothing(
    name: str, events: list[tuple[str, int, float]], order: random.Random
) -> None:
    events = list({(user, row): (user, row, time) for user, row, time in events}.values())
    shuffled = events.copy()
    order.shuffle(shuffled)
    try:
        ours, theirs = SPLITS[name](log_of(events)), SPLITS[name](log_of(shuffled))
    except EvaluationError:
        return
    for one, other in zip(ours, theirs, strict=True):
        assert pairs(one.train) == pairs(other.train)
        assert [(case.user, case.known, case.targets.tolist()) for case in one.cases] == [
            (case.user, case.known, case.targets.tolist()) for case in other.cases
        ]


def test_leave_last_out() -> None:
    log = log_of([("a", 1, 1), ("a", 2, 2), ("a", 3, 3), ("a", 4, 4), ("b", 5, 1), ("b", 6, 2)])
    validation, test = leave_last_out(log)
    assert [case.targets.tolist() for case in validation.cases] == [[3]]
    assert [case.targets.tolist() for case in test.cases] == [[4]]
    assert history_of(validation.train, "a") == [1, 2]
    assert history_of(test.train, "a") == [1, 2, 3]
    assert history_of(test.train, "b") == [5, 6]
    assert test.history(test.cases[0]).tolist() == [3, 2, 1]
    assert [*test.left_out.values()] == [1]
    assert test.counts["train events"] == 5
    assert test.counts["targets without train events"] == 1


def test_global_time_asks_about_each_later_event_with_a_history_that_grows() -> None:
    events = [("a", row, float(row)) for row in range(30)] + [("new", 30, 27.5), ("new", 31, 29.5)]
    validation, test = global_time(log_of(events), validation=0.2, test=0.2)
    assert test.boundary == 26.0
    assert history_of(test.train, "a") == [*range(26)]
    assert [(case.known, case.targets.tolist()) for case in test.cases] == [
        (26, [26]),
        (27, [27]),
        (28, [28]),
        (29, [29]),
        (1, [31]),
    ]
    assert [*test.left_out.values()] == [1, 0]
    assert validation.train.end < validation.boundary <= validation.log.end < test.boundary


def test_global_time_never_cuts_between_equal_times() -> None:
    events = [(user, row, float(row // 10)) for user in "ab" for row in range(30)]
    validation, test = global_time(log_of(events), validation=0.05, test=0.05)
    assert (validation.boundary, test.boundary) == (1.0, 2.0)


def test_global_time_limits_the_cases_of_a_user() -> None:
    events = [("a", row, float(row)) for row in range(40)]
    _, test = global_time(log_of(events), validation=0.1, test=0.7)
    assert len(test.cases) == MAX_CASES
    assert [*test.left_out.values()] == [0, 8]


def test_cold_items_are_in_no_history_and_no_training() -> None:
    log = busy_log()
    validation, test = cold_items(log, share=0.3)
    assert len(test.cases) > 5
    assert len(validation.cases) > 2
    assert len(test.cold) == round(0.3 * (log.counts > 0).sum())
    assert cold_items(log, share=0.3, seed=1)[1].cold.tolist() != test.cold.tolist()
    assert test.counts["targets without train events"] == test.counts["targets"]
    accounted = test.counts["train events"] + test.counts["targets"] + sum([*test.left_out.values()][2:])
    unasked = [*test.left_out.values()][1]
    assert accounted <= len(log) <= accounted + 2 * unasked


def test_cold_users_come_after_everything_that_is_learnt() -> None:
    log = busy_log()
    _, test = cold_users(log, share=0.2, known=2)
    asked = {case.user for case in test.cases}
    assert len(asked) >= 4
    assert all(test.train.lengths[user] == 0 for user in asked)
    assert all(case.known == 2 and len(case.targets) <= MAX_TARGETS for case in test.cases)
    first = min(log.times[log.span(user)][0] for user in asked)
    assert test.train.end < test.boundary <= first
    spared, late = test.left_out.values()
    assert len(asked) + spared == 6
    assert len(test.train) + late + sum(log.lengths[24:]) == len(log)


@pytest.mark.parametrize("name", [GLOBAL_TIME, COLD_USERS])
def test_events_at_one_time_cannot_be_split_by_time(name: str) -> None:
    log = log_of([(user, row, 5.0) for user in "abcd" for row in range(6)])
    with pytest.raises(EvaluationError, match=rf"{name}.*too few different times"):
        SPLITS[name](log)


@pytest.mark.parametrize("name", [LEAVE_LAST_OUT, COLD_ITEMS])
def test_events_at_one_time_are_in_the_order_of_the_tie(name: str) -> None:
    log = log_of([(user, row, 5.0) for user in "abcd" for row in range(6)])
    _, test = SPLITS[name](log)
    check(test, log)
    assert [case.targets.tolist() for case in leave_last_out(log)[1].cases] != [[5]] * 4
