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
        log: without newcomers, without the last event of each user with three or more, and without the cold
            items, which count as new.
        heard: the same with newcomers: what histories are taken from.
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


def practice(log: Log, seed: int) -> Practice | None:
    """Hold back some users, of the others the last event, and all events of some items.

    Of a newcomer a few of the first events are asked, each from what came before it. Of each other user two
    events are asked: the last one, and the newest with a cold item. None where users are too few.
    """
    rng = np.random.default_rng(seed)
    items = np.flatnonzero(log.counts)
    cold = np.zeros(log.size, bool)
    cold[rng.choice(items, int(COLD * len(items)), replace=False)] = True
    enough = log.lengths >= 3
    last = log.newest(1) & enough[log.at_user]
    keep = ~last & ~cold[log.rows]
    heard = replace(log.where(keep), new=np.union1d(log.new, np.flatnonzero(cold)))
    users = np.flatnonzero(enough & (heard.lengths > 0))
    if len(users) < LEAST:
        return None
    users = np.sort(rng.choice(users, min(USERS, len(users)), replace=False))
    newcomers = np.sort(rng.choice(users, round(NEWCOMERS * len(users)), replace=False))
    before = np.concatenate([[0], np.cumsum(keep)])
    asked = []
    for user in np.setdiff1d(users, newcomers).tolist():
        end = int(log.bounds[user + 1]) - 1
        event = log.bounds[user] + np.flatnonzero(cold[log.rows[log.span(user)]])
        event = event[event < end]
        for at in [end, *event[-1:].tolist()]:
            asked.append((user, int(before[at] - heard.bounds[user]), log.rows[at]))
    for user in newcomers.tolist():
        first = np.arange(1, min(FIRST + 1, heard.lengths[user]))
        for known in rng.choice(first, min(QUESTIONS, len(first)), replace=False).tolist():
            asked.append((user, known, heard.rows[heard.bounds[user] + known]))
    at_user, known, targets = (np.array(part, np.intp) for part in zip(*asked, strict=True))
    told = known > 0
    learnt = heard.where(~np.isin(heard.at_user, newcomers))
    return Practice(learnt, heard, at_user[told], known[told], targets[told])
