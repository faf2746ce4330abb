"""Practice for the fusion scorer: a part of the log is held back, and its events are what to find."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from llmrec.rank.channel import Taste
from llmrec.rank.log import Log, Rows

HELD = 3
"""Newest events of a user that are held back: so many, though not more than a quarter, and at least one."""
COLD = 0.1
"""Share of the items that practice knows by their content only, as if they were new."""
USERS = 1_000
"""Users asked at most."""
NEWCOMERS = 0.1
"""Share of the users that practice knows by their first few events only, as if they had just come."""
FIRST = 10
"""Events that are known of a newcomer at most."""
QUESTIONS = 3
"""Asked of a newcomer at most."""
LEAST = 50
"""Users below which there is nothing to learn from."""


@dataclass(frozen=True, slots=True)
class Practice:
    """A log to train channels on, and questions about what came next.

    Args:
        log: without newcomers, without the newest events of each user with three or more, and without the
            cold items, which count as new.
        heard: the same with newcomers and the newest events: what histories are taken from.
        users: position in the log of the user of each question.
        known: how many of the user's events in ``heard``, the oldest, are known at the time.
        targets: row that the user chose next.
    """

    log: Log
    heard: Log
    users: Rows
    known: Rows
    targets: Rows

    def __len__(self) -> int:
        return len(self.users)

    def taste(self, at: int, vector: np.ndarray[tuple[int], np.dtype[np.float32]] | None = None) -> Taste:
        """What is known of a user asked, at that time."""
        user, known = int(self.users[at]), int(self.known[at])
        newest = float(self.heard.times[self.heard.bounds[user] + known - 1])
        return Taste(self.history(at), vector=vector, now=newest)

    def history(self, at: int) -> Rows:
        """Their items, newest first."""
        return self.heard.rows[self.heard.span(int(self.users[at]))][: self.known[at]][::-1]


def held_back(log: Log) -> Rows:
    """How many of the newest events of each user practice asks for, (users,)."""
    return np.where(log.lengths >= 3, np.clip(log.lengths // 4, 1, HELD), 0)


def practice(log: Log, seed: int) -> Practice | None:
    """Hold back some users, of the others the newest events, and all events of some items.

    Of a newcomer a few of the first events are asked, each from what came before it. Of each other user the
    newest events are asked, each from all before it, and the newest with a cold item before those. None where
    users are too few.
    """
    rng = np.random.default_rng(seed)
    items = np.flatnonzero(log.counts)
    cold = np.zeros(log.size, bool)
    cold[rng.choice(items, int(COLD * len(items)), replace=False)] = True
    held = held_back(log)
    known, newest = ~cold[log.rows], log.newest(held[log.at_user])
    heard = replace(log.where(known), new=np.union1d(log.new, np.flatnonzero(cold)))
    users = np.flatnonzero((held > 0) & (log.where(known & ~newest).lengths > 0))
    if len(users) < LEAST:
        return None
    users = np.sort(rng.choice(users, min(USERS, len(users)), replace=False))
    newcomers = np.sort(rng.choice(users, round(NEWCOMERS * len(users)), replace=False))
    before = np.concatenate([[0], np.cumsum(known)])
    asked = []
    for user in np.setdiff1d(users, newcomers).tolist():
        end = int(log.bounds[user + 1])
        begin = end - int(held[user])
        event = log.bounds[user] + np.flatnonzero(cold[log.rows[log.span(user)]])
        for at in [*event[event < begin][-1:].tolist(), *range(begin, end)]:
            asked.append((user, int(before[at] - heard.bounds[user]), log.rows[at]))
    for user in newcomers.tolist():
        first = np.arange(1, min(FIRST + 1, heard.lengths[user]))
        for count in rng.choice(first, min(QUESTIONS, len(first)), replace=False).tolist():
            asked.append((user, count, heard.rows[heard.bounds[user] + count]))
    at_user, counts, targets = (np.array(part, np.intp) for part in zip(*asked, strict=True))
    told = counts > 0
    learnt = heard.where(~newest[known] & ~np.isin(heard.at_user, newcomers))
    return Practice(learnt, heard, at_user[told], counts[told], targets[told])
