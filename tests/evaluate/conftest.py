"""A catalog for the rows of the small logs."""

from __future__ import annotations

import pytest
from catalogs import write
from small_logs import SIZE

from llmrec.rank.catalog import Catalog
from llmrec.schema import Item
from llmrec.store.items import ItemStore


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    store = ItemStore(str(tmp_path_factory.mktemp("evaluate")))
    return Catalog(write(store, None, [Item(f"i{row}", f"Film {row}") for row in range(SIZE)]), 10_000)
