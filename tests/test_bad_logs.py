"""Logs as they should not be: answered or counted, never NaN."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from catalogs import log_of, unit_vectors, write
from shop import item_rows, make_workspace, write_events, write_items

from llmrec import Recommender
from llmrec.config import RankSettings
from llmrec.errors import TrainingError
from llmrec.indexing import IndexRun, Sources
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Taste
from llmrec.rank.ranker import Ranker
from llmrec.rank.sequence import training
from llmrec.schema import Item
from llmrec.store.items import ItemStore

pytestmark = pytest.mark.slow

MANY = 100_000
IDS = [str(row["item_id"]) for row in item_rows()]


def rows_at(times: object, users: int = 60) -> list[dict[str, object]]:
    """Six events of each user, at ``times(user, step)``."""
    rng = np.random.default_rng(0)
    return [
        {"user_id": f"u{user}", "item_id": IDS[item], "timestamp": times(user, step)}  # type: ignore[operator]
        for user in range(users)
        for step, item in enumerate(rng.permutation(len(IDS))[:6].tolist())
    ]


def answered(root: Path, user: str) -> list[tuple[str, float]]:
    with Recommender.open(root) as recommender:
        found = recommender.recommend(user, k=12, explain=True)
    assert all(math.isfinite(entry.score) for entry in found)
    return [(entry.item_id, entry.score) for entry in found]


def index(tmp_path: Path, rows: list[dict[str, object]], name: str = "log.csv") -> Path:
    items = write_items(tmp_path / "items.jsonl", item_rows())
    workspace = make_workspace(tmp_path / "w")
    try:
        IndexRun(workspace, Sources(items, (write_events(tmp_path / name, rows),)))()
    finally:
        workspace.close()
    return workspace.root


def test_all_events_at_one_time_some_twice_some_of_unknown_items(tmp_path: Path) -> None:
    rows = rows_at(lambda user, step: 1_600_000_000)
    strange = [{"user_id": "u1", "item_id": "never heard of", "timestamp": 1_600_000_000}] * 3
    alone = [{"user_id": "single", "item_id": IDS[0], "timestamp": 1_600_000_000}]
    root = index(tmp_path, [*rows, *rows[:50], *strange, *alone])
    assert len(answered(root, "u0")) == 6
    assert len(answered(root, "single")) == 11
    assert len(answered(root, "u1")) == 6


def test_a_training_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = index(tmp_path, rows_at(lambda user, step: 1_600_000_000 + 10 * user + step))
    before = answered(root, "u0")
    monkeypatch.setattr(training, "_RATE", 1e30)
    later = rows_at(lambda user, step: 1_700_000_000 + 10 * user + step, users=70)
    with pytest.raises(TrainingError, match=r"channel sequence: the loss became (nan|inf) in epoch \d"):
        index(tmp_path, later, "more.csv")
    assert answered(root, "u0") == before


@pytest.mark.parametrize(
    "chosen", [MANY, 30], ids=["a user of 100,000 events", "100,000 items without events"]
)
def test_a_log_that_is_very_uneven(tmp_path: Path, chosen: int) -> None:
    items = [Item(f"i{number}") for number in range(MANY)]
    store = ItemStore(str(tmp_path))
    table = write(store, None, items, vectors=unit_vectors(MANY), index_rows=2 * MANY)
    catalog = Catalog(table, exact_items=MANY)
    rng = np.random.default_rng(0)
    log = log_of(
        [
            *(("glutton", f"i{row}", float(at)) for at, row in enumerate(rng.permutation(MANY)[:chosen])),
            *(
                (f"u{user}", f"i{row}", float(at))
                for user in range(60)
                for at, row in enumerate(rng.permutation(30)[:6])
            ),
        ],
        catalog,
    )
    ranker = Ranker.fit(catalog, log, RankSettings(sequence_epochs=1))
    assert ranker.fusion is not None
    for user in ("glutton", "u0"):
        history = log.rows[log.span(log.users.index(user))][::-1]
        taste = Taste(history, vector=unit_vectors(1, seed=1)[0])
        found = ranker.rank(taste, 10, history)
        assert len(found) == min(10, MANY - len(history))
        assert all(math.isfinite(entry.score) for entry in found)
        if found:
            assert all(np.isfinite(one).all() for one in ranker.influences(taste, found[0].row).values())
