"""Cases by what is known of the user and of the item, for results that a mean over all would hide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmrec.evaluate.metrics import by_user
from llmrec.evaluate.model import Result
from llmrec.evaluate.split import Split
from llmrec.evaluate.statistics import Interval, interval
from llmrec.rank.log import DAY

_LENGTHS = {"1–4": 5, "5–9": 10, "10–19": 20, "20–49": 50, "50–99": 100, "100 and more": np.inf}
"""Events known of the user: below this number."""
_AGES = {
    "first event after the question": 0.0,
    "less than 30 days": 30 * DAY,
    "30 days to 1 year": 365 * DAY,
    "1 to 5 years": 5 * 365 * DAY,
    "5 years and more": np.finfo(np.float64).max,
    "not in training": np.inf,
}
"""Seconds since the item's first training event: below this number."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Cases that are alike. ``cases`` are their positions in the split."""

    name: str
    cases: NDArray[np.intp]

    def measure(self, split: Split, result: Result) -> Interval:
        """NDCG@10 of a model over the bucket's users."""
        users = np.array([split.cases[case].user for case in self.cases], np.intp)
        return interval(by_user(users, result.cases[self.cases]))


def by_history(split: Split) -> list[Bucket]:
    """Cases by the number of events known of the user; buckets without cases are left out."""
    return _buckets(np.array([case.known for case in split.cases], np.float64), _LENGTHS)


def by_item_age(split: Split) -> list[Bucket]:
    """Cases by the time from the item's first training event to the question.

    Of several targets the median counts. In leave-last-out an item may first be chosen, by others, after the
    question: models then know it from the future.
    """
    first = split.train.first
    ages = [(split.taste(case).now or 0.0) - float(np.median(first[case.targets])) for case in split.cases]
    return _buckets(np.array([np.inf if age == -np.inf else age for age in ages]), _AGES)


def _buckets(values: NDArray[np.float64], bounds: dict[str, float]) -> list[Bucket]:
    at = np.searchsorted([*bounds.values()], values, side="right").clip(max=len(bounds) - 1)
    found = [Bucket(name, np.flatnonzero(at == place)) for place, name in enumerate(bounds)]
    return [bucket for bucket in found if len(bucket.cases)]
