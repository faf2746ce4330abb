"""Practice for the fusion scorer: a part of the log is held back, and its events are what to find."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from llmrec.rank.channel import Taste
from llmrec.rank.log import Log, Rows

COLD = 0.1
"""Share of the items that practice knows by their content only, as if they were new."""
USERS = 2_000
"""Users asked at most."""
LEAST = 50
"""Users below which there is nothing to learn from."""


@dataclass(frozen=True, slots=True)
class Practice:
    """A log to train channels on, and questions about what came next.

    Args:
        log: without the last event of each user with three or more, and without the cold items, which count
            as new.
        users: position in the log of the user of each question.
        known: how many of the user's events in ``log``, the oldest, are known at the time.
        targets: row that the user chose next.
    """

    log: Log
    users: Rows
    known: Rows
    targets: Rows

    def __len__(self) -> int:
        return len(self.users)

    def taste(self, at: int, vector: np.ndarray[tuple[int], np.dtype[np.float32]] | None = None) -> Taste:
        """What is known of a user asked, at that time."""
        user, known = int(self.users[at]), int(self.known[at])
        newest = float(self.log.times[self.log.bounds[user] + known - 1])
        return Taste(self.history(at), vector=vector, now=newest)

    def history(self, at: int) -> Rows:
        """Their items, newest first."""
        return self.log.rows[self.log.span(int(self.users[at]))][: self.known[at]][::-1]


def practice(log: Log, seed: int) -> Practice | None:
    """Hold back the last event of each user and all events of some items; None where users are too few.

    Of each user two events are asked: the last one, and the newest with a cold item, from what came before.
    """
    rng = np.random.default_rng(seed)
    items = np.flatnonzero(log.counts)
    cold = np.zeros(log.size, bool)
    cold[rng.choice(items, int(COLD * len(items)), replace=False)] = True
    last = log.newest(1) & (log.lengths >= 3)[log.at_user]
    keep = ~last & ~cold[log.rows]
    kept = replace(log.where(keep), new=np.union1d(log.new, np.flatnonzero(cold)))
    users = np.flatnonzero((log.lengths >= 3) & (kept.lengths > 0))
    if len(users) < LEAST:
        return None
    users = np.sort(rng.choice(users, min(USERS, len(users)), replace=False))
    before = np.concatenate([[0], np.cumsum(keep)])
    asked = [(user, int(log.bounds[user + 1]) - 1) for user in users.tolist()]
    for user in users.tolist():
        event = log.bounds[user] + np.flatnonzero(cold[log.rows[log.span(user)]])
        event = event[event < log.bounds[user + 1] - 1]
        asked += [(user, int(event[-1]))] if len(event) else []
    known = [int(before[event] - kept.bounds[user]) for user, event in asked]
    told = [at for at, number in enumerate(known) if number]
    at_user, event = (np.array(part, np.intp)[told] for part in zip(*asked, strict=True))
    return Practice(kept, at_user, np.array(known, np.intp)[told], log.rows[event])
