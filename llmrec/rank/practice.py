"""Practice for the fusion scorer: a part of the log is held back, and its events are what to find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmrec.rank.channel import Taste
from llmrec.rank.log import Log, Rows

COLD = 0.1
"""Share of the items that practice knows by their content only, as if they were new."""
CASES = 2_000
"""Users asked at most."""
LEAST = 50
"""Users below which there is nothing to learn from."""


@dataclass(frozen=True, slots=True)
class Practice:
    """A log to train channels on, and questions about what came next.

    Args:
        log: without the last event of each user with three or more, and without the cold items.
        users: positions in the log of the users asked.
        targets: row of the last event of each of them.
        times: when their last known event was, seconds since the epoch.
    """

    log: Log
    users: Rows
    targets: Rows
    times: np.ndarray[tuple[int], np.dtype[np.float64]]

    def taste(self, at: int, vector: np.ndarray[tuple[int], np.dtype[np.float32]] | None = None) -> Taste:
        """What is known of a user asked, at that time."""
        return Taste(self.history(at), vector=vector, now=float(self.times[at]))

    def history(self, at: int) -> Rows:
        """Their items, newest first."""
        return self.log.rows[self.log.span(int(self.users[at]))][::-1]


def practice(log: Log, seed: int) -> Practice | None:
    """Hold back the last event of each user and all events of some items; None where users are too few."""
    rng = np.random.default_rng(seed)
    items = np.flatnonzero(log.counts)
    cold = np.zeros(log.size, bool)
    cold[rng.choice(items, int(COLD * len(items)), replace=False)] = True
    last = log.newest(1) & (log.lengths >= 3)[log.at_user]
    kept = log.where(~last & ~cold[log.rows])
    users = np.flatnonzero((log.lengths >= 3) & (kept.lengths > 0))
    if len(users) < LEAST:
        return None
    users = np.sort(rng.choice(users, min(CASES, len(users)), replace=False))
    targets = log.rows[log.bounds[users + 1] - 1]
    return Practice(kept, users, targets, kept.times[kept.bounds[users + 1] - 1])
