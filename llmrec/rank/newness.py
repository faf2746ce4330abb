"""New items, and how they compare with the others: an exposure that is chosen, not learnt.

By likelihood alone an item that nobody could choose yet would hardly ever be shown, since a known favourite
is the safer guess, and so nobody ever would choose it. And a log cannot say better: it does not tell what was
shown. So new items are ranked among themselves, and take places among the others: ``new_items`` times their
share of the catalog, and not more than ``new_limit`` of a list. An item is new while it has no events and
came to the catalog after the first items did, less than ``new_days`` ago. What nobody chose in a longer time
is left to likelihood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from llmrec.rank.channel import Scores
from llmrec.rank.log import DAY

Arrived = Mapping[str, float]
"""Item id to when the item came to the catalog, seconds since the epoch. The first items are not there."""


def arrived(before: Iterable[str], known: Arrived, ids: Iterable[str], now: float, days: float) -> Arrived:
    """Items that are new at ``now``: those of ``known`` less than ``days`` old, and those not there before.

    Args:
        before: ids of the catalog as it was.
        known: items that were new in it.
        ids: of the catalog as it is.
        now: seconds since the epoch.
        days: for how long an item is new.
    """
    old = set(before)
    since = {item: known.get(item, -np.inf) if item in old else now for item in ids}
    return {item: time for item, time in since.items() if now - time < days * DAY}


def placed(total: Scores, new: NDArray[np.bool_], exposure: float, limit: float) -> Scores:
    """Scores in which new items stand at even distances among the others, in their own order.

    The r-th of n new items gets the score of the other item at the place (r - 1/2) · distance, where the
    distance is as large as ``exposure`` and ``limit`` both require. Beyond the last one scores go on falling.

    Args:
        total: scores of candidates, (candidates,).
        new: which of them are new.
        exposure: above 0; how often new items are shown; 1: by their share of the candidates.
        limit: above 0, at most 1; their largest share of the places, while others are left.
    """
    others = np.sort(total[~new])[::-1]
    count = len(total) - len(others)
    if not count or not len(others):
        return total
    distance = max(len(others) / (exposure * count), 1 / limit - 1)
    places = (rankdata(-total[new]) - 0.5) * distance
    beyond = np.maximum(places - len(others), 0) / len(others)
    found = total.copy()
    found[new] = np.interp(places, np.arange(len(others)) + 0.5, others) - beyond
    return found
