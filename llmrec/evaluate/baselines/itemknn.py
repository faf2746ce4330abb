"""Baseline ``itemknn``: items whose users are the user's items' users, by cosine (Sarwar et al., WWW 2001).

Two refinements make it strong where tastes drift: items count as chosen together only within a ``session``,
so many consecutive events of a user (as in Hidasi et al., ICLR 2016, where a user is cut at pauses), and the
newest items of a history count most.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from llmrec.evaluate.model import Setting
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Log
from llmrec.rank.top import top_of_rows

_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class FittedItemKnn:
    """Neighbours of each item, (items, items) with at most k in a row, and how fast a history fades."""

    neighbours: sp.csr_matrix
    known: NDArray[np.bool_]
    decay: float

    def score(self, taste: Taste) -> Scores | None:
        """Sum of the similarities to the history; None where no item of the history has events."""
        history = taste.history[self.known[taste.history]]
        if not len(history):
            return None
        ages = np.arange(len(history), dtype=np.float32)
        weights = np.exp(-ages / self.decay) if self.decay else np.ones_like(ages)
        scores: Scores = self.neighbours[history].T @ weights
        return scores


def _grid() -> tuple[Setting, ...]:
    cosine = {"k": 200, "session": 0, "from": 0.5, "to": 0.5}
    sessions = {"k": 1000, "from": 0.3, "to": 0.3}
    return (
        *(cosine | {"decay": decay, "shrink": shrink} for decay, shrink in product((0, 3), (0, 10))),
        *(
            sessions | {"session": length, "decay": decay, "shrink": shrink}
            for length, decay, shrink in product((10, 20), (3, 6), (0, 2, 5, 10))
        ),
    )


class ItemKnn:
    """Cosine neighbours.

    ``k``: neighbours of an item that are kept. ``shrink``: added to the denominator. ``session``: events of a
    user that count as together; 0: all. ``decay``: positions after which an item of the history counts
    1/e as much; 0: all the same. ``from``, ``to``: exponents of the counts of the history's item and of the
    scored one in the denominator; 0.5 both is the cosine, less of ``to`` favours popular items.
    """

    name = "itemknn"
    grid: tuple[Setting, ...] = _grid()

    def fit(
        self, catalog: Catalog, log: Log, setting: Setting, seed: int, progress: Progress
    ) -> FittedItemKnn:
        """Count what is chosen together, a block of items at a time."""
        together = sessions(log, int(setting["session"]))
        counts = np.maximum(np.asarray(together.sum(axis=0)).ravel(), 1)
        source, target = counts ** float(setting["from"]), counts ** float(setting["to"])
        columns, shrink = together.T.tocsr(), float(setting["shrink"])
        blocks = []
        with progress.task("itemknn", log.size) as task:
            for start in range(0, log.size, _BLOCK):
                block = (columns[start : start + _BLOCK] @ together).tocoo()
                apart = block.row + start != block.col
                row, col, data = block.row[apart], block.col[apart], block.data[apart]
                data = data / (source[row + start] * target[col] + shrink)
                blocks.append(top_of_rows(sp.csr_matrix((data, (row, col)), block.shape), int(setting["k"])))
                task.advance(block.shape[0])
        neighbours = sp.vstack(blocks, "csr") if blocks else sp.csr_matrix((0, 0), dtype=np.float32)
        return FittedItemKnn(neighbours.astype(np.float32), log.counts > 0, float(setting["decay"]))


def sessions(log: Log, length: int) -> sp.csr_matrix:
    """Sessions by items, binary: each user's events cut into runs of ``length`` from the newest; 0: uncut."""
    if not length:
        return log.matrix
    after = log.bounds[1:][log.at_user] - 1 - np.arange(len(log))
    run = np.column_stack([log.at_user, after // length])
    begins = np.flatnonzero(np.r_[True, (run[1:] != run[:-1]).any(axis=1)]) if len(log) else np.empty(0, int)
    bounds = np.append(begins, len(log))
    return sp.csr_matrix((np.ones(len(log), np.float32), log.rows, bounds), shape=(len(begins), log.size))
