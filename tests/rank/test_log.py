"""The log: which events count, in what order, and what is asked of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from llmrec.rank.log import Event, Log
from llmrec.schema import tie

ITEMS = ["a", "b", "c", "d", "e"]
ROWS = {item: row for row, item in enumerate(ITEMS)}

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["u", "v", "w"]),
        st.sampled_from([*ITEMS, "gone"]),
        st.sampled_from([0.0, 1.0, 2.0]),
        st.just(1.0),
    ),
    max_size=25,
    unique_by=lambda event: event[:3],
)


def log_of(*events: tuple[str, str, float], rows: dict[str, int] = ROWS) -> Log:
    return Log.of(((*event, 1.0) for event in events), rows, len(rows))


def items_of(log: Log, user: str) -> list[str]:
    """Items of a user, oldest first."""
    return [ITEMS[row] for row in log.rows[log.span(log.users.index(user))]]


SMALL = log_of(("v", "a", 5.0), ("u", "b", 2.0), ("u", "a", 1.0), ("v", "c", 3.0), ("u", "d", 3.0))


def test_users_are_sorted_and_their_events_are_in_the_order_of_time() -> None:
    assert SMALL.users == ("u", "v")
    assert (items_of(SMALL, "u"), items_of(SMALL, "v")) == (["a", "b", "d"], ["c", "a"])
    assert SMALL.times.tolist() == [1, 2, 3, 3, 5]
    assert (SMALL.bounds.tolist(), SMALL.lengths.tolist()) == ([0, 3, 5], [3, 2])
    assert SMALL.at_user.tolist() == [0, 0, 0, 1, 1]
    assert SMALL.counts.tolist() == [2, 1, 1, 1, 0]
    assert SMALL.matrix.toarray().tolist() == [[1, 1, 0, 1, 0], [1, 0, 1, 0, 0]]
    assert (len(SMALL), SMALL.size, SMALL.end) == (5, 5, 5.0)


def test_weights_stay_with_their_events() -> None:
    log = Log.of([("u", "b", 2.0, 0.5), ("u", "a", 1.0, 3.0)], ROWS, len(ROWS))
    assert (log.rows.tolist(), log.weights.tolist()) == ([0, 1], [3.0, 0.5])
    assert log.weights.dtype == np.float32


@given(EVENTS, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_input_does_not_matter(events: list[Event], random: object) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (Log.of(order, ROWS, len(ROWS)) for order in (events, shuffled))
    assert one.users == other.users
    for name in ("bounds", "rows", "times", "weights"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.repeated, one.unknown) == (other.repeated, other.unknown)


@given(EVENTS)
@settings(max_examples=60, deadline=None)
def test_events_are_in_the_order_of_time_then_tie_and_the_first_of_each_item_is_kept(
    events: list[Event],
) -> None:
    log = Log.of(events, ROWS, len(ROWS))
    known = [event for event in events if event[1] in ROWS]
    assert log.unknown == len(events) - len(known)
    assert log.repeated == len(known) - len(log)
    assert log.users == tuple(sorted({event[0] for event in known}))
    for user in log.users:
        own = sorted((time, tie(user, item), item) for who, item, time, _ in known if who == user)
        first = dict.fromkeys(item for _, _, item in own)
        assert items_of(log, user) == list(first)
        times = [min(time for time, _, other in own if other == item) for item in first]
        assert log.times[log.span(log.users.index(user))].tolist() == times


def test_the_order_at_equal_times_follows_neither_items_nor_rows() -> None:
    log = log_of(*((f"u{user}", item, 0.0) for user in range(20) for item in ITEMS))
    orders = {tuple(items_of(log, user)) for user in log.users}
    assert len(orders) > 10
    other = log_of(
        *((f"u{user}", item, 0.0) for user in range(20) for item in ITEMS),
        rows={item: 4 - row for item, row in ROWS.items()},
    )
    np.testing.assert_array_equal(other.rows, 4 - log.rows)


def test_of_repeated_events_the_first_counts() -> None:
    log = Log.of(
        [("u", "a", 3.0, 1.0), ("u", "b", 2.0, 1.0), ("u", "a", 1.0, 0.5), ("v", "a", 9.0, 1.0)],
        ROWS,
        len(ROWS),
    )
    assert items_of(log, "u") == ["a", "b"]
    assert log.times.tolist() == [1, 2, 9]
    assert log.weights.tolist() == [0.5, 1, 1]
    assert (log.repeated, log.unknown) == (1, 0)


def test_events_with_items_outside_the_catalog_are_counted() -> None:
    log = log_of(("u", "gone", 1.0), ("u", "a", 2.0), ("w", "gone", 1.0))
    assert (log.users, len(log), log.unknown) == (("u",), 1, 2)


def test_where_keeps_all_users() -> None:
    part = SMALL.where(SMALL.times > 3)
    assert part.users == SMALL.users
    assert part.lengths.tolist() == [0, 1]
    assert items_of(part, "v") == ["a"]
    assert (part.times.tolist(), part.weights.tolist(), part.size) == ([5], [1], 5)
    assert SMALL.where(np.ones(5, bool)).bounds.tolist() == SMALL.bounds.tolist()
    assert len(SMALL.where(np.zeros(5, bool))) == 0


@pytest.mark.parametrize(
    ("count", "kept"),
    [(0, [0, 0, 0, 0, 0]), (1, [0, 0, 1, 0, 1]), (2, [0, 1, 1, 1, 1]), (9, [1, 1, 1, 1, 1])],
)
def test_newest_events_of_each_user(count: int, kept: list[int]) -> None:
    newest = SMALL.newest(count)
    assert newest.dtype == bool
    assert newest.astype(int).tolist() == kept


def test_newest_of_a_log_with_users_without_events() -> None:
    part = SMALL.where(SMALL.at_user == 1)
    assert part.newest(1).tolist() == [False, True]


def test_over_numbers_its_items_from_zero() -> None:
    rows = np.flatnonzero(SMALL.counts)
    packed = SMALL.over(np.append(rows, 4))
    assert packed.rows.tolist() == SMALL.rows.tolist()
    shifted = log_of(("u", "e", 1.0), ("u", "b", 2.0))
    packed = shifted.over(np.array([1, 4]))
    assert (packed.rows.tolist(), packed.size) == ([1, 0], 2)
    assert (packed.users, packed.times.tolist()) == (shifted.users, [1, 2])
    assert packed.counts.tolist() == [1, 1]


def test_a_fingerprint_does_not_depend_on_the_numbers_of_the_rows() -> None:
    ids = ["x", *ITEMS[::-1]]
    events = [("v", "a", 5.0), ("u", "b", 2.0), ("u", "a", 1.0), ("v", "c", 3.0), ("u", "d", 3.0)]
    other = log_of(*events, rows={item: row for row, item in enumerate(ids)})
    assert not np.array_equal(other.rows, SMALL.rows)
    assert other.fingerprint(ids) == SMALL.fingerprint(ITEMS)


@pytest.mark.parametrize(
    "events",
    [
        [("v", "a", 5.0), ("u", "b", 2.0), ("u", "a", 1.0), ("v", "c", 3.0)],
        [("v", "a", 5.0), ("u", "b", 2.0), ("u", "a", 1.0), ("v", "c", 3.0), ("u", "e", 3.0)],
        [("v", "a", 5.0), ("u", "b", 2.0), ("u", "a", 1.0), ("v", "c", 3.0), ("u", "d", 3.5)],
        [("v", "a", 5.0), ("u", "b", 2.0), ("u", "a", 1.0), ("v", "c", 3.0), ("w", "d", 3.0)],
        [("v", "a", 5.0), ("u", "b", 2.0), ("u", "a", 1.0), ("v", "c", 3.0), ("v", "d", 3.0)],
        [],
    ],
    ids=["one less", "another item", "another time", "another user", "moved to a user", "none"],
)
def test_a_fingerprint_changes_with_an_event(events: list[tuple[str, str, float]]) -> None:
    assert log_of(*events).fingerprint(ITEMS) != SMALL.fingerprint(ITEMS)


def test_a_log_without_events() -> None:
    for size in (0, 5):
        log = Log.of([], {}, size)
        assert (len(log), log.users, log.end, log.size) == (0, (), 0.0, size)
        assert (log.rows.dtype, log.bounds.tolist(), log.lengths.tolist()) == (np.intp, [0], [])
        assert log.counts.tolist() == [0] * size
        assert log.matrix.shape == (0, size)
        assert log.newest(3).tolist() == []
        assert len(log.where(np.empty(0, bool))) == 0
        assert log.over(np.empty(0, np.intp)).size == 0
        assert log.fingerprint([]) == Log.of([], {}, 9).fingerprint(ITEMS)
    assert Log.of([("u", "gone", 1.0, 1.0)], ROWS, 5).unknown == 1
