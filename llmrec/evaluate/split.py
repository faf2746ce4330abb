"""What a split is: a log that models may learn from, and cases that ask what came later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
        boundary: all of ``train`` is before this time; infinite where the protocol has no such time.
        left_out: what is neither learnt nor asked, by the reason in words.
    """

    name: str
    stage: str
    train: Log
    log: Log
    cases: tuple[Case, ...]
    cold: Rows
    boundary: float = np.inf
    left_out: Mapping[str, int] = field(default_factory=dict)

    def history(self, case: Case) -> Rows:
        """Rows that are known of the user, newest first."""
        return self.log.rows[self.log.span(case.user)][: case.known][::-1]

    def taste(self, case: Case) -> Taste:
        """What is known of the user at the time of the case; without a vector.

        The question is asked when the newest known event happened, and not before the boundary.
        """
        times = self.log.times[self.log.span(case.user)][: case.known]
        now = float(times[-1]) if len(times) else self.train.end
        if np.isfinite(self.boundary):
            now = max(now, self.boundary)
        return Taste(self.history(case), now=now)

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of events, users, cases and targets, as a report states them."""
        targets = np.concatenate([np.empty(0, np.intp), *(case.targets for case in self.cases)])
        return {
            "train events": len(self.train),
            "train users": int((self.train.lengths > 0).sum()),
            "train items": int((self.train.counts > 0).sum()),
            "items": self.train.size,
            "cases": len(self.cases),
            "users with cases": len({case.user for case in self.cases}),
            "targets": len(targets),
            "targets without train events": int((self.train.counts[targets] == 0).sum()),
        }


def targets_after(log: Log, user: int, known: int) -> Rows:
    """Rows of a user's events after the first ``known``, oldest first."""
    return np.asarray(log.rows[log.span(user)][known:])
