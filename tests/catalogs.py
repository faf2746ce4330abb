"""Small real item tables for the tests of stores, channels and workspaces."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llmrec.config import RankSettings
from llmrec.rank.catalog import Catalog
from llmrec.rank.log import Log
from llmrec.schema import Document, Item
from llmrec.store.items import ItemStore, ItemTable
from llmrec.store.rows import ModalityVectors, rows_of

DIMENSION = 8
ITEMS = 120
"""Items of the world."""


@dataclass(frozen=True)
class World:
    """A catalog whose last 20 items nobody chose, opened whole (exact) and by its table (sparse)."""

    table: ItemTable
    exact: Catalog
    sparse: Catalog
    log: Log
    settings: RankSettings


def unit_vectors(count: int, dimension: int = DIMENSION, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def encoded(
    items: Sequence[Item],
    key: str = "k1",
    vectors: NDArray[np.float32] | None = None,
    by_modality: Sequence[ModalityVectors] | None = None,
) -> pa.RecordBatch:
    """Rows of items as an index run encodes them; all have the same ``key``."""
    vectors = unit_vectors(len(items)) if vectors is None else vectors
    documents = [Document(item.title) for item in items]
    return rows_of(items, documents, [key] * len(items), vectors, by_modality)


def write(
    store: ItemStore,
    base: ItemTable | None,
    items: Sequence[Item] = (),
    deleted: Collection[str] = (),
    *,
    key: str = "k1",
    vectors: NDArray[np.float32] | None = None,
    by_modality: Sequence[ModalityVectors] | None = None,
    index_rows: int = 50_000,
) -> ItemTable:
    """Write items as an index run does."""
    batches = [encoded(items, key, vectors, by_modality)] if items else []
    dimension = DIMENSION if vectors is None else vectors.shape[1]
    ids = [item.item_id for item in items]
    return store.write(base, lambda: iter(batches), ids, deleted, dimension, index_rows)


def log_of(pairs: Iterable[tuple[str, str, float]], catalog: Catalog) -> Log:
    """A log of (user, item, time), all of weight 1."""
    events = ((user, item, time, 1.0) for user, item, time in pairs)
    return Log.of(events, catalog.row_of, len(catalog))


def ids_of(table: ItemTable) -> list[str]:
    """Item ids in the table's order."""
    return [item for batch in table.scan(["item_id"]) for item in batch.column(0).to_pylist()]
