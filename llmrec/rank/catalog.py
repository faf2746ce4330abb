"""The items of one snapshot as the channels see them: numbered rows, and their vectors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from llmrec.rank.log import Rows
from llmrec.schema import Columns, Item
from llmrec.store.items import ItemTable
from llmrec.store.rows import VECTOR

_KEPT_ITEMS = 20_000


class Catalog:
    """Items by row. Up to ``exact_items`` of them keep their vectors in memory and are scored whole."""

    def __init__(self, table: ItemTable, exact_items: int) -> None:
        self.table = table
        count = len(table)
        self.exact = count <= exact_items
        self.ids: list[str] = []
        self._vectors = np.empty((count if self.exact else 0, table.dimension), np.float32)
        for batch in table.scan([Columns.ITEM, VECTOR] if self.exact else [Columns.ITEM]):
            start = len(self.ids)
            self.ids += batch.column(0).to_pylist()
            if self.exact:
                flat = batch.column(1).flatten().to_numpy(zero_copy_only=False)
                self._vectors[start : len(self.ids)] = flat.reshape(-1, table.dimension)
        self.row_of = {item: row for row, item in enumerate(self.ids)}
        self._items: OrderedDict[str, Item] = OrderedDict()

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: Sequence[str]) -> Rows:
        """Rows of those ``ids`` that the catalog holds, in their order."""
        return np.array([self.row_of[item] for item in ids if item in self.row_of], np.intp)

    def vectors(self, rows: Rows) -> NDArray[np.float32]:
        """Unit vectors of ``rows``, (rows, dimension)."""
        if self.exact:
            whole = len(rows) == len(self) and np.array_equal(rows, np.arange(len(self)))
            return self._vectors if whole else self._vectors[rows]
        return self.table.vectors([self.ids[row] for row in rows])

    def titles(self) -> Iterator[str]:
        """Every title of the catalog."""
        for batch in self.table.scan([Columns.TITLE]):
            yield from filter(None, batch.column(0).to_pylist())

    def items(self, rows: Rows) -> list[Item]:
        """The items at ``rows``; recently used ones are kept in memory."""
        ids = [self.ids[row] for row in rows]
        missing = [item for item in ids if item not in self._items]
        if missing:
            self._items.update(self.table.items(missing))
        found = []
        for item in ids:
            self._items.move_to_end(item)
            found.append(self._items[item])
        while len(self._items) > _KEPT_ITEMS:
            self._items.popitem(last=False)
        return found
