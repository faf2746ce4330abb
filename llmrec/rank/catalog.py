"""The items of one snapshot as the channels see them: numbered rows, and their vectors."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from llmrec.rank.log import Rows
from llmrec.schema import MODALITIES, Columns, Item, Modality
from llmrec.store.items import ItemTable
from llmrec.store.rows import FIELD_VECTORS, VECTOR, vectors_in

_KEPT_ITEMS = 20_000
_KEPT_READS, _LARGE = 4, 256
"""Reads from the table that are kept, and the rows from which one is worth it.

The channels ask for the vectors of the same candidates, and again when an item of the history is left out.
"""


Field = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Vectors of one modality, (items, dimension), and which items have it, (items,)."""


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
                self._vectors[start : len(self.ids)] = vectors_in(batch.column(1))[0]
        self.row_of = {item: row for row, item in enumerate(self.ids)}
        self._items: OrderedDict[str, Item] = OrderedDict()
        self._fields: dict[Modality, Field] = {}
        self._without: dict[Modality, Catalog] = {}
        self._reads: OrderedDict[tuple[Modality | None, bytes], Field] = OrderedDict()

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
        return self._read(None, rows)[0]

    def field(self, modality: Modality) -> Field:
        """Unit vectors of one modality of every item, and which items have it; the others' say nothing.

        Only of a catalog that is exact. Read once and kept; the text's are the vectors of the whole where no
        item has text beside another modality.
        """
        if modality not in self._fields:
            self._fields[modality] = self._read_field(modality)
        return self._fields[modality]

    def field_vectors(self, modality: Modality, rows: Rows) -> Field:
        """The same of ``rows`` only, of a catalog of any size."""
        if self.exact:
            vectors, known = self.field(modality)
            whole = len(rows) == len(self) and np.array_equal(rows, np.arange(len(self)))
            return (vectors, known) if whole else (vectors[rows], known[rows])
        return self._read(modality, rows)

    def _read(self, modality: Modality | None, rows: Rows) -> Field:
        """Vectors from the table, of a modality or of the whole; the last large reads are kept."""
        key = modality, rows.tobytes()
        if key in self._reads:
            return self._reads[key]
        ids = [self.ids[row] for row in rows]
        if modality is None:
            found = self.table.vectors(ids), np.ones(len(ids), bool)
        else:
            found = self.table.field_vectors(ids, modality)
        if len(rows) >= _LARGE:
            self._reads[key] = found
            while len(self._reads) > _KEPT_READS:
                self._reads.popitem(last=False)
        return found

    def _read_field(self, modality: Modality) -> Field:
        known = np.zeros(len(self), bool)
        vectors = np.zeros(self._vectors.shape, np.float32)
        start = 0
        for batch in self.table.scan([FIELD_VECTORS[modality]]):
            found, present = vectors_in(batch.column(0))
            vectors[start + np.flatnonzero(present)] = found
            known[start : start + len(present)] = present
            start += len(present)
        if modality != "text":
            return vectors, known
        nothing_else = ~(known | self.field("picture")[1] | self.field("sound")[1])
        if not known.any():
            return self._vectors, nothing_else
        vectors[nothing_else] = self._vectors[nothing_else]
        return vectors, known | nothing_else

    def without(self, modality: Modality) -> Catalog:
        """A view in which nothing is known of one modality, to measure what it is worth; the same each time.

        The vector of an item is that of its other modality, of two the unit mean, and zero without any. Only
        of a catalog that is exact; items read from it, and its nearest neighbours, are the whole catalog's.
        """
        if modality not in self._without:
            self._without[modality] = self._view_without(modality)
        return self._without[modality]

    def _view_without(self, modality: Modality) -> Catalog:
        others = [self.field(other) for other in MODALITIES if other != modality]
        view = copy.copy(self)
        view._without = {}
        total = np.add.reduce([vectors for vectors, _ in others])
        lengths = np.linalg.norm(total, axis=1, keepdims=True)
        view._vectors = np.divide(total, lengths, out=np.zeros_like(total), where=lengths > 0)
        view._fields = self._fields | {modality: (np.zeros_like(total), np.zeros(len(self), bool))}
        return view

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
