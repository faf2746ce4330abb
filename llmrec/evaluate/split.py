"""What a split is: a log that models may learn from, and cases that ask what came later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmrec.rank.channel import Taste
from llmrec.rank.log import Log, Rows


@dataclass(frozen=True, slots=True)
class Case:
    """One question: what does a user choose next?

    Args:
        user: position of the user in the split's log.
        known: how many of the user's events in the split's ``log``, the oldest, are known at the time.
        targets: catalog rows that the user chose afterwards, distinct and not among the known ones.
    """

    user: int
    known: int
    targets: Rows


@dataclass(frozen=True, slots=True)
class Split:
    """Events to learn from and cases to answer.

    Args:
        name: ``leave-last-out``, ``global-time``, ``cold-items`` or ``cold-users``.
        stage: ``validation`` or ``test``.
        train: what models are trained on.
        log: what histories are taken from: the same users, with the events that become known later.
        cases: a user may have several; metrics are averaged by user first.
        cold: rows withheld from training.
    """

    name: str
    stage: str
    train: Log
    log: Log
    cases: tuple[Case, ...]
    cold: Rows

    def history(self, case: Case) -> Rows:
        """Rows that are known of the user, newest first."""
        return self.log.rows[self.log.span(case.user)][: case.known][::-1]

    def taste(self, case: Case) -> Taste:
        """What is known of the user at the time of the case; without a vector."""
        times = self.log.times[self.log.span(case.user)][: case.known][::-1]
        now = float(times[0]) if len(times) else self.train.end
        return Taste(self.history(case), times, now=now)


def targets_after(log: Log, user: int, known: int) -> Rows:
    """Rows of a user's events after the first ``known``, oldest first."""
    return np.asarray(log.rows[log.span(user)][known:])
