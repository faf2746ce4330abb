"""Accuracy of rankings, by case and then by user, and what the recommended items are like.

Every item but the known ones is ranked; no candidates are sampled. Equal scores share their places: a target
among m equal scores after g better ones has the place g + (m + 1)/2, and of q such targets the j-th has
g + j(m + 1)/(q + 1), its mean place in a random order. With one target a case this is the middle rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from llmrec.rank.channel import Scores
from llmrec.rank.log import Log, Rows
from llmrec.rank.popularity import top

Values = NDArray[np.float64]

CUTOFFS = (10, 20)
"""Lengths of the lists that are looked at."""


def places(scores: Scores, targets: Rows) -> Values:
    """Places of the targets from 1 on, ascending, (targets,); fractions where scores are equal.

    Args:
        scores: of every row, higher is better; -inf for the rows that are left out.
        targets: distinct rows that are not left out.
    """
    found = []
    for value, count in zip(*np.unique(scores[targets], return_counts=True), strict=True):
        better, equal = int((scores > value).sum()), int((scores == value).sum())
        found.append(better + np.arange(1, count + 1) * (equal + 1) / (count + 1))
    return np.sort(np.concatenate(found))


def accuracy(found: Values, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
    """Recall, NDCG and hit rate at the cutoffs, and the reciprocal rank, of one case; each 0 to 1.

    Recall is the share of the targets that are in the list. NDCG (Järvelin & Kekäläinen, 2002) has gain 1 for
    each target and the discount log2(1 + place); its ideal has min(k, targets) targets on top. The reciprocal
    rank is that of the first target, however far down.

    Args:
        found: places of the targets, ascending, infinite where the case was not answered.
        cutoffs: lengths of the lists.
    """
    values = {}
    for k in cutoffs:
        hits = found[found <= k]
        ideal = np.arange(1, min(k, len(found)) + 1)
        values[f"recall@{k}"] = len(hits) / len(found)
        values[f"ndcg@{k}"] = float((1 / np.log2(1 + hits)).sum() / (1 / np.log2(1 + ideal)).sum())
        values[f"hit@{k}"] = float(len(hits) > 0)
    return values | {"mrr": float(1 / found[0])}


def by_user(users: NDArray[np.intp], values: Values) -> Values:
    """Mean of each user's cases, in ascending order of the users; ``values`` and ``users`` are (cases,)."""
    _, at = np.unique(users, return_inverse=True)
    means: Values = np.bincount(at, values) / np.bincount(at)
    return means


class Shown:
    """What was recommended over all cases: how much of the catalog, how novel, how popular.

    Novelty is the mean self-information of the recommended items, -log2 of the share of users who have one
    (Vargas & Castells, RecSys 2011), with one user added to each count so that an item without events has a
    finite one. Popularity is the lift GAP(lists)/GAP(histories) - 1 (Abdollahpouri et al., RecSys 2020): GAP
    is the mean over users of the mean number of events of their items. It is 0 where lists are as popular as
    the histories of the users who got them, 1 where twice as popular.
    """

    def __init__(self, train: Log, cutoffs: Sequence[int] = CUTOFFS) -> None:
        self.counts = train.counts
        users = int((train.lengths > 0).sum())
        self.information = -np.log2((self.counts + 1) / (users + 1))
        self.cutoffs = tuple(cutoffs)
        self._seen = {k: np.zeros(train.size, bool) for k in self.cutoffs}
        self._users: list[int] = []
        self._rows: list[dict[int, tuple[float, float]]] = []
        self._histories: list[float] = []

    def add(self, user: int, scores: Scores, history: Rows) -> None:
        """Take the lists of one case; ``scores`` as for :func:`places`, equal ones by row."""
        best = top(scores, max(self.cutoffs))
        best = best[np.isfinite(scores[best])]
        if not len(best):
            return
        self._users.append(user)
        self._histories.append(float(self.counts[history].mean()) if len(history) else 0.0)
        of_case = {}
        for k in self.cutoffs:
            self._seen[k][best[:k]] = True
            of_case[k] = (float(self.information[best[:k]].mean()), float(self.counts[best[:k]].mean()))
        self._rows.append(of_case)

    def values(self) -> Mapping[str, float]:
        """Coverage, novelty and popularity at each cutoff; empty where no case was answered."""
        if not self._users:
            return {}
        users = np.array(self._users, np.intp)
        history = by_user(users, np.array(self._histories)).mean()
        values = {}
        for k in self.cutoffs:
            novelty, popularity = np.array([of_case[k] for of_case in self._rows]).T
            values[f"coverage@{k}"] = float(self._seen[k].mean())
            values[f"novelty@{k}"] = float(by_user(users, novelty).mean())
            lists = by_user(users, popularity).mean()
            values[f"popularity@{k}"] = float(lists / history - 1) if history else 0.0
        return values
