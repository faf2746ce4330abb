"""Small logs for the tests of evaluation, and models that score by a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from llmrec.evaluate.model import Setting
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Log

SIZE = 40
"""Items of the logs; the last ones have no events."""


def log_of(events: Iterable[tuple[str, int, float]], size: int = SIZE) -> Log:
    """A log of (user, row, time), all of weight 1."""
    rows = {f"i{row}": row for row in range(size)}
    return Log.of(((user, f"i{row}", time, 1.0) for user, row, time in events), rows, size)


def busy_log(users: int = 30, seed: int = 0) -> Log:
    """Users who come one after the other, with 1 to 12 events each; popular items have low rows."""
    rng = np.random.default_rng(seed)
    events = []
    for user in range(users):
        for step in range(1 + int(rng.integers(12))):
            events.append((f"u{user:02}", int(rng.power(0.5) * (SIZE - 5)), float(10 * user + step)))
    return log_of(events)


def history_of(log: Log, user: str) -> list[int]:
    """Rows of a user, oldest first."""
    return [int(row) for row in log.rows[log.span(log.users.index(user))]]


@dataclass(frozen=True)
class Rule:
    """A model that scores by a rule, from the training log, the setting and the taste."""

    name: str
    rule: Callable[[Log, Setting, int, Taste], Scores | None]
    grid: Sequence[Setting] = ({},)

    def fit(self, catalog: Catalog, log: Log, setting: Setting, seed: int, progress: Progress) -> Ruled:
        return Ruled(self, log, setting, seed)


@dataclass(frozen=True)
class Ruled:
    """A trained :class:`Rule`."""

    model: Rule
    log: Log
    setting: Setting
    seed: int

    def score(self, taste: Taste) -> Scores | None:
        return self.model.rule(self.log, self.setting, self.seed, taste)


def popular(log: Log, setting: Setting, seed: int, taste: Taste) -> Scores:
    """Number of users of each item."""
    return log.counts.astype(np.float32)


def at_random(log: Log, setting: Setting, seed: int, taste: Taste) -> Scores:
    """Noise that depends on the seed and the history."""
    return np.random.default_rng([seed, *taste.history]).random(log.size, np.float32)
