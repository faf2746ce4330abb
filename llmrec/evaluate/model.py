"""What is compared: a way of scoring every item of a catalog for a taste, learnt from a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Log

Setting = Mapping[str, float | int | str]
"""Hyper-parameters by name."""


class Fitted(Protocol):
    """A trained model."""

    def score(self, taste: Taste) -> Scores | None:
        """A finite score for every row of the catalog, higher is better; None where it cannot answer."""


class Model(Protocol):
    """A model and the settings among which validation chooses."""

    @property
    def name(self) -> str:
        """As the report calls it."""

    @property
    def grid(self) -> Sequence[Setting]:
        """Settings to choose among, at least one."""

    def fit(self, catalog: Catalog, log: Log, setting: Setting, seed: int, progress: Progress) -> Fitted:
        """Train on a log. The same seed gives the same scores."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one model reached on the test cases of one split.

    Args:
        model: its name.
        setting: the hyper-parameters that validation chose.
        users: positions of the users in the split's log, in the order of the values.
        values: metric name (``ndcg@10``) to the value of each user, (users,); of several seeds the mean.
        cases: NDCG@10 of each case, in the order of the split's cases; likewise the mean.
        catalog: metric name (``coverage@10``, ``novelty@10``, ``popularity@10``) to one value over all users.
        answered: share of the cases that it could answer; the others count as 0.
        fit_seconds: time to train with the chosen setting.
        rank_seconds: mean time to score one case.
    """

    model: str
    setting: Setting
    users: NDArray[np.intp]
    values: Mapping[str, NDArray[np.float64]]
    cases: NDArray[np.float64]
    catalog: Mapping[str, float] = field(default_factory=dict)
    answered: float = 1.0
    fit_seconds: float = 0.0
    rank_seconds: float = 0.0
