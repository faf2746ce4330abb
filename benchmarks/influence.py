"""Whether the history items that an explanation cites are those that the score owes most to.

    python benchmarks/influence.py WORKSPACE [--cases 500] [--per-user 1] [--seed 0]

For users of the log, in a random order, the cited items are taken out of the history, and the recommended
item is scored again by ranking the whole catalog; then as many other items of the same history, drawn at
random. The score of the item without the cited ones should be the lower. Channels stay as they were trained,
and the items that are ranked are the same three times. Cases in which nothing of the history is cited, or in
which too little is left to draw from, are counted and left out. The interval is Wilson's, of 95%.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmrec import Recommender
from llmrec.rank.channel import Taste
from llmrec.rank.log import Rows
from llmrec.users import UserTexts

Z = 1.959964


@dataclass(frozen=True)
class Drops:
    """What the score of one item loses without the cited items, and without others."""

    cited: float
    drawn: float


class Asking:
    """Scores one item for a user, as if parts of their history were not there."""

    def __init__(self, recommender: Recommender, user: str) -> None:
        self.catalog = recommender.catalog
        self.ranker = recommender._loaded.ranker
        self.texts = UserTexts(recommender.workspace, self.catalog, recommender.encoder)
        self.user = user
        events = recommender.workspace.events.history(user)
        self.history = self.catalog.rows(list(dict.fromkeys(event.item_id for event in events)))

    def score(self, row: int, history: Rows) -> float:
        (vector,) = self.texts([(self.user, history)])
        taste = Taste(history, vector=vector if vector.any() else None)
        ranked = self.ranker.rank(taste, len(self.catalog), hidden=self.history)
        return next(entry.score for entry in ranked if entry.row == row)


def measure(
    recommender: Recommender, cases: int, per_user: int, rng: np.random.Generator, skipped: Counter[str]
) -> Iterator[Drops]:
    users = recommender.workspace.events.user_ids(1_000_000)
    done = 0
    for at in rng.permutation(len(users)):
        asking = Asking(recommender, users[at])
        for entry in recommender.recommend(users[at], k=per_user, explain="evidence"):
            cited = [fact.item_id for fact in entry.evidence or () if fact.kind == "history"]
            rows = recommender.catalog.rows([item for item in cited if item])
            others = np.setdiff1d(asking.history, rows)
            if not len(rows) or len(others) < len(rows):
                skipped["nothing cited" if not len(rows) else "too short a history"] += 1
                continue
            drawn = rng.choice(others, len(rows), replace=False)
            (row,) = recommender.catalog.rows([entry.item_id])
            whole, *rest = (
                asking.score(int(row), asking.history[~np.isin(asking.history, left_out)])
                for left_out in (np.empty(0, np.intp), rows, drawn)
            )
            if abs(whole - entry.score) > 1e-3:
                raise SystemExit(f"{users[at]}, {entry.item_id}: scored {whole}, recommended {entry.score}")
            yield Drops(whole - rest[0], whole - rest[1])
            done += 1
            if done == cases:
                return


def wilson(won: int, count: int) -> tuple[float, float]:
    share = won / count
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return round(float(middle - half), 4), round(float(middle + half), 4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--per-user", type=int, default=1, help="recommendations of each user")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    skipped: Counter[str] = Counter()
    began = time.perf_counter()
    with Recommender.open(options.workspace) as recommender:
        rng = np.random.default_rng(options.seed)
        drops = [*measure(recommender, options.cases, options.per_user, rng, skipped)]
    won = sum(one.cited > one.drawn for one in drops)
    report = {
        "cases": len(drops),
        "left_out": dict(skipped),
        "cited_take_more": round(won / len(drops), 4),
        "interval_95": wilson(won, len(drops)),
        "median_drop_cited": round(float(np.median([one.cited for one in drops])), 4),
        "median_drop_random": round(float(np.median([one.drawn for one in drops])), 4),
        "seconds": round(time.perf_counter() - began, 1),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
