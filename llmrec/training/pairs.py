"""Pairs that the log gives: a user's history and what they chose next, an item and what came after it.

The events of a user are cut into windows. Of a window the history before it makes a pair with each of its
items, and each of its items makes one with each later. So a text has a part in several pairs, which a batch
takes together and encodes once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import TrainingError
from llmrec.evaluate.splits import leave_last_out
from llmrec.rank.log import DAY, Log, Rows
from llmrec.rank.practice import held_back
from llmrec.training.settings import PairSettings

HISTORY = -1
"""In the place of an anchor's row: the text of the user's history."""
LEAST = 100
"""Pairs below which nothing can be learnt."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs by user, window, anchor and target; all arrays are (pairs,).

    Args:
        users: position in the log.
        known: events of the user, the oldest, that come before the window; they are the history.
        anchors: row of the item, or :data:`HISTORY`.
        targets: row that was chosen afterwards.
    """

    users: Rows
    known: Rows
    anchors: Rows
    targets: Rows

    def __len__(self) -> int:
        return len(self.users)

    def at(self, chosen: NDArray[np.bool_] | Rows) -> Pairs:
        """Some of them."""
        return Pairs(*(getattr(self, field.name)[chosen] for field in fields(Pairs)))


def training_period(log: Log) -> Log:
    """What an encoder may be fine-tuned on.

    Without the two events of each user that leave-last-out asks for, and without those before them that the
    fusion scorer practises on: it would think more of an encoder that knows the answers than it is worth.
    """
    before = leave_last_out(log)[0].train
    return before.where(~before.newest(held_back(before)[before.at_user]))


def sample_pairs(log: Log, settings: PairSettings, seed: int) -> Pairs:
    """Draw pairs from a log, which should hold the training period only.

    A pair with an item that more users chose than the median target's is kept with the probability
    (median / count) ** debiasing; of what is kept of a user at most ``per_user`` are taken, at random.

    Raises:
        TrainingError: fewer than :data:`LEAST` pairs, or all of one user.
    """
    rng = np.random.default_rng(seed)
    pairs = _candidates(log, settings, rng)
    if len(pairs):
        counts = log.counts[pairs.targets]
        kept = rng.random(len(pairs)) < (np.median(counts) / counts) ** settings.debiasing
        pairs = pairs.at(kept)
        order = np.lexsort((rng.random(len(pairs)), pairs.users))
        users = pairs.users[order]
        place = np.arange(len(users)) - np.searchsorted(users, users)
        pairs = pairs.at(np.sort(order[place < settings.per_user]))
    _check_enough(pairs)
    return pairs


def not_negatives(log: Log, users: Rows, rows: Rows) -> NDArray[np.bool_]:
    """Which ``rows`` each of ``users`` ever chose in the log, (users, rows): of them none is a negative."""
    chosen: NDArray[np.bool_] = log.matrix[users][:, rows].toarray() > 0
    return chosen


def check_period(pairs: Pairs, log: Log) -> None:
    """Check that every pair is made of events of ``log``, the training period, and looks ahead.

    Raises:
        TrainingError: one is not; names its user.
    """
    target = _places(log, pairs.users, pairs.targets)
    of_items = pairs.anchors != HISTORY
    anchor = np.where(of_items, _places(log, pairs.users, np.maximum(pairs.anchors, 0)), pairs.known)
    wrong = (target < pairs.known) | (anchor < pairs.known) | (of_items & (anchor >= target))
    wrong |= ~of_items & (pairs.known < 1)
    if wrong.any():
        user = log.users[pairs.users[np.argmax(wrong)]]
        raise TrainingError(
            f"{int(wrong.sum())} pairs, such as one of user {user!r}, hold events that are out of order or "
            "not of the training period",
            "This is a defect of llmrec.",
        )


def _candidates(log: Log, settings: PairSettings, rng: np.random.Generator) -> Pairs:
    """Every pair of every window."""
    width, longest = settings.window_events, settings.window_days * DAY
    first = log.bounds[:-1][log.at_user]
    place = np.arange(len(log)) - first
    # Each user's windows begin elsewhere, or the same events would always be apart.
    offset = rng.integers(1, width + 1, len(log.users))[log.at_user]
    start = np.where(place < offset, 0, offset + (place - offset) // width * width)
    began = first + start
    told = np.flatnonzero((start > 0) & (log.times - log.times[began] <= longest))
    found = [(log.at_user[told], start[told], np.full(len(told), HISTORY), log.rows[told])]
    for step in range(1, min(width, len(log))):
        event = np.arange(len(log) - step)
        later = event + step
        same = (began[event] == began[later]) & (log.at_user[event] == log.at_user[later])
        event = event[same & (log.times[later] - log.times[event] <= longest)]
        found.append((log.at_user[event], start[event], log.rows[event], log.rows[event + step]))
    users, known, anchors, targets = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((targets, anchors, known, users))
    return Pairs(users[order], known[order], anchors[order], targets[order])


def _places(log: Log, users: Rows, rows: Rows) -> Rows:
    """Which event of each user's is the one with each row, counted from 0; -1 where there is none."""
    keys = log.at_user * log.size + log.rows
    order = np.argsort(keys)
    wanted = users * log.size + rows
    at = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    event = order[at]
    return np.where(keys[event] == wanted, event - log.bounds[users], -1)


def _check_enough(pairs: Pairs) -> None:
    if len(pairs) < LEAST:
        raise TrainingError(
            f"the log gives {len(pairs)} pairs to learn from, and it takes {LEAST}",
            "Add events with `llmrec index CATALOG --interactions LOG`, or widen `pairs` in the settings.",
        )
    if len(np.unique(pairs.users)) < 2:
        raise TrainingError(
            "all pairs of the log are of one user, and nothing can be learnt of what differs between users",
            "Add the events of other users with `llmrec index CATALOG --interactions LOG`.",
        )
