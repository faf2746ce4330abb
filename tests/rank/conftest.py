"""One small catalog and log for all tests of ranking."""

from __future__ import annotations

import numpy as np
import pytest
from catalogs import ITEMS, World, log_of, write

from llmrec.config import WEIGHTS, RankSettings
from llmrec.rank.catalog import Catalog
from llmrec.schema import Item
from llmrec.store.items import ItemStore


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    store = ItemStore(str(tmp_path_factory.mktemp("world")))
    made = [Item(f"i{number}", f"Film {number}", attributes={"year": number}) for number in range(ITEMS)]
    table = write(store, None, made)
    rng = np.random.default_rng(3)
    pairs = [
        (f"u{user}", f"i{item}", float(at))
        for user in range(60)
        for at, item in enumerate(np.unique((rng.power(2.5, 12) * (ITEMS - 20)).astype(int)))
    ]
    exact = Catalog(table, exact_items=10_000)
    off = dict.fromkeys(WEIGHTS, 0.0)
    weights = off | {"linear": 1.0, "semantic": 0.3, "popularity": 0.1}
    settings = RankSettings(ease_lambda=5.0, fusion="weighted", weights=weights)
    return World(table, exact, Catalog(table, exact_items=0), log_of(pairs, exact), settings)
