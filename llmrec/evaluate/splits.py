"""Four ways to split a log, each into a validation and a test stage.

Validation is the same protocol applied to what the test stage learns from, so no choice of settings sees a
test event. Equal times never fall on two sides of a boundary, and a user's events at one time are in the
order of :func:`llmrec.schema.tie`, which follows neither files nor items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import EvaluationError
from llmrec.evaluate.split import Case, Split, targets_after
from llmrec.rank.log import Log, Rows

Stages = tuple[Split, Split]
"""Validation and test."""

LEAVE_LAST_OUT = "leave-last-out"
GLOBAL_TIME = "global-time"
COLD_ITEMS = "cold-items"
COLD_USERS = "cold-users"

MIN_EVENTS = 3
"""Events of a user that leave-last-out asks about: one to know, one for each stage."""
MAX_CASES = 20
"""Cases of one user in a global-time stage: the first ones; more would only repeat the user."""
MAX_TARGETS = 10
"""Targets of a cold user: the events that follow the known ones."""
FUTURE = 5
"""One of so many events of a user, the newest, is the future of a cold-items stage."""


def leave_last_out(log: Log) -> Stages:
    """The last event of each user is the test, the one before it the validation.

    Users with fewer than :data:`MIN_EVENTS` events are learnt from and not asked about. Other users' later
    events are learnt from: this is the protocol of the literature, not of a system that serves.
    """
    asked = log.lengths >= MIN_EVENTS
    test = _last_out(log, asked, "test")
    return _last_out(test.train, asked, "validation"), test


def global_time(log: Log, validation: float = 0.1, test: float = 0.1) -> Stages:
    """Models learn what happened before a time; each later event of a user is a case of its own.

    Histories grow with the user's events after the boundary, as in serving, and models do not.

    Args:
        log: all events.
        validation: share of the events in the validation period, more or less as equal times require.
        test: likewise in the test period, the newest.

    Raises:
        EvaluationError: the log has fewer than three times.
    """
    last = _after_time(log, test, "test")
    return _after_time(last.train, validation / (1 - test), "validation"), last


def cold_items(log: Log, share: float = 0.1, seed: int = 0) -> Stages:
    """Some items are withheld from training and histories, and asked for in each user's future.

    They stand for items that come to the catalog after training, which a recommender that serves can tell
    from those that nobody chose. The future is the newest fifth of a user's events, at least one. Validation
    withholds other items, chosen among those of the test stage's training.

    Args:
        log: all events.
        share: of the items with events.
        seed: of the choice.
    """
    test = _withheld_items(log, share, seed, "test")
    return _withheld_items(test.train, share, seed, "validation"), test


def cold_users(log: Log, share: float = 0.2, known: int = 3) -> Stages:
    """The newest users are asked about from their first few events; models learn what happened before them.

    Training holds only events before the first event of any of these users, so that it knows nothing of their
    time either. Users come one after the other, hence nearly all of the other users' events are left.

    Args:
        log: all events.
        share: of the users, the ones whose first event is latest.
        known: events of each that are known.

    Raises:
        EvaluationError: the users of the log begin at fewer than three times.
    """
    test = _newest_users(log, share, known, "test")
    return _newest_users(test.train, share, known, "validation"), test


SPLITS: dict[str, Callable[[Log], Stages]] = {
    LEAVE_LAST_OUT: leave_last_out,
    GLOBAL_TIME: global_time,
    COLD_ITEMS: cold_items,
    COLD_USERS: cold_users,
}
"""Every protocol with its default shares, by name."""

DESCRIPTIONS = {
    LEAVE_LAST_OUT: "Each user's newest event is the test, the one before it the validation. Models learn "
    "from all other events, other users' later ones included: comparable with the literature, kinder than "
    "serving.",
    GLOBAL_TIME: "Models learn from everything before a time. Each later event of a user, up to the first "
    f"{MAX_CASES}, is a case in which all that the user did before it is known, as in serving.",
    COLD_ITEMS: "A seeded tenth of the items is withheld from training and histories, as if it came to the "
    "catalog afterwards. The cases are the users who choose one of them in the newest fifth of their events.",
    COLD_USERS: "The fifth of the users whose first event is latest is asked about: their first 3 events are "
    f"known, the next {MAX_TARGETS} are the targets. Models learn only from events before any of theirs.",
}
"""What a report says of each."""


def _last_out(log: Log, asked: NDArray[np.bool_], stage: str) -> Split:
    train = log.where(~(log.newest(1) & asked[log.at_user]))
    before = log.lengths - 1
    cases = [
        Case(user, int(before[user]), targets_after(log, user, before[user]))
        for user in np.flatnonzero(asked).tolist()
    ]
    left_out = {f"users with fewer than {MIN_EVENTS} events: learnt from, no cases": int((~asked).sum())}
    return Split(LEAVE_LAST_OUT, stage, train, log, tuple(cases), _none(), left_out=left_out)


def _after_time(log: Log, share: float, stage: str) -> Split:
    boundary = _boundary(log.times, share, GLOBAL_TIME, "events")
    train = log.where(log.times < boundary)
    cases, unknown, beyond = [], 0, 0
    for user in range(len(log.users)):
        known, total = int(train.lengths[user]), int(log.lengths[user])
        asked = range(known, min(total, known + MAX_CASES))
        rows = log.rows[log.span(user)]
        cases += [Case(user, at, rows[at : at + 1]) for at in asked if at]
        unknown += total > known == 0
        beyond += total - known - len(asked)
    left_out = {
        "first events of users of whom nothing is known: no cases": unknown,
        f"events after the first {MAX_CASES} of a user: no cases": beyond,
    }
    return Split(GLOBAL_TIME, stage, train, log, tuple(cases), _none(), boundary, left_out)


def _withheld_items(log: Log, share: float, seed: int, stage: str) -> Split:
    present = np.flatnonzero(log.counts)
    count = min(len(present), max(1, round(share * len(present))))
    cold = np.sort(np.random.default_rng(seed).choice(present, count, replace=False))
    is_cold = np.isin(log.rows, cold)
    newest = np.maximum(log.lengths // FUTURE, 1)
    future = log.bounds[1:][log.at_user] - np.arange(len(log)) <= newest[log.at_user]
    train = replace(log.where(~future & ~is_cold), new=cold)
    wanted = log.where(future & is_cold)
    asked = np.flatnonzero(wanted.lengths)
    cases = [
        Case(user, int(train.lengths[user]), wanted.rows[wanted.span(user)])
        for user in asked.tolist()
        if train.lengths[user]
    ]
    left_out = {
        "users without a cold item in their future: no cases": int((log.lengths > 0).sum()) - len(asked),
        "users of whom nothing else is known: no cases": len(asked) - len(cases),
        "events with cold items before a user's future": int((is_cold & ~future).sum()),
        "events with other items in a user's future": int((future & ~is_cold).sum()),
    }
    return Split(COLD_ITEMS, stage, train, train, tuple(cases), cold, left_out=left_out)


def _newest_users(log: Log, share: float, known: int, stage: str) -> Split:
    present = np.flatnonzero(log.lengths)
    first = log.times[log.bounds[:-1][present]]
    boundary = _boundary(first, share, COLD_USERS, "users")
    train = log.where(log.times < boundary)
    new = present[first >= boundary]
    cases = [
        Case(user, known, targets_after(log, user, known)[:MAX_TARGETS])
        for user in new.tolist()
        if log.lengths[user] > known
    ]
    later = log.lengths.sum() - log.lengths[new].sum() - len(train)
    left_out = {
        f"new users with {known} events or fewer: no cases": len(new) - len(cases),
        "events of other users after the first new user came": int(later),
    }
    return Split(COLD_USERS, stage, train, log, tuple(cases), _none(), boundary, left_out)


def _boundary(times: NDArray[np.float64], share: float, split: str, what: str) -> float:
    """The time from which on are ``share`` of ``times`` or, where many are equal, more; never all of them."""
    distinct = np.unique(times)
    if len(distinct) < 2:
        raise EvaluationError(
            f"{split}: the {what} of the log are at too few different times to split it",
            "It takes three; leave-last-out and cold-items take a log as it is.",
        )
    at = np.sort(times)[-max(1, round(share * len(times)))]
    return float(max(at, distinct[1]))


def _none() -> Rows:
    return np.empty(0, np.intp)
