"""The item table: LanceDB, versioned, each change an atomic commit.

Readers open one version of one table and see nothing else; which one is the present one is recorded by the
event store (:mod:`llmrec.store.events`), so that items, events and channels change together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import BTree, HnswSq
from numpy.typing import NDArray

from llmrec.errors import CorruptFileError, FilterError
from llmrec.schema import Columns, Item, Modality
from llmrec.store.rows import (
    ITEM_COLUMNS,
    KEY,
    VECTOR,
    attribute_types,
    field_columns,
    field_of,
    item_of,
    row_schema,
    vectors_in,
    with_attributes,
)

_SCAN_ROWS = 4096
_MERGE_ROWS = 20_000
_LISTED_IDS = 1000

_VERSIONS = 16
"""Commits after which a table is written anew. Lance would clean old versions by age, and so could remove the
one that the present snapshot names; whole tables are dropped instead, once no snapshot needs them."""

_QUOTED = re.compile(r"'(?:[^']|'')*'|`[^`]*`|\"[^\"]*\"")
_NOISE = re.compile(r"^Invalid input, |, \S+\.rs:\d+.*$| Valid fields are .*$")
"""Parts of Lance's messages that say nothing to whoever wrote a filter."""

Batches = Callable[[], Iterator[pa.RecordBatch]]
"""Row batches that can be iterated again from the start."""


class ItemTable:
    """One version of the items, read only."""

    def __init__(self, table: Any, name: str, version: int) -> None:
        self._table = table
        self.name = name
        self.version = version

    def __len__(self) -> int:
        return int(self._table.count_rows())

    @property
    def attribute_types(self) -> dict[str, pa.DataType]:
        """Arrow types of the filterable attributes."""
        fixed = row_schema(1).names
        return {field.name: field.type for field in self._table.schema if field.name not in fixed}

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._table.schema.field(VECTOR).type.list_size)

    def scan(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows in the table's order, a batch at a time."""
        yield from self._table.search().select(list(columns)).to_batches(_SCAN_ROWS)

    def keys(self) -> dict[str, str]:
        """item id → key of its row."""
        found: dict[str, str] = {}
        for batch in self.scan([Columns.ITEM, KEY]):
            found.update(zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True))
        return found

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of the items ``ids``, (len(ids), dimension); each id must exist."""
        row = {item: position for position, item in enumerate(ids)}
        out = np.empty((len(ids), self.dimension), np.float32)
        for batch in self._by_id(ids, [Columns.ITEM, VECTOR]):
            where = [row[item] for item in batch.column(Columns.ITEM).to_pylist()]
            out[where] = vectors_in(batch.column(VECTOR))[0]
        return out

    def field_vectors(
        self, ids: Sequence[str], modality: Modality
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vectors of one modality of the items ``ids``, and which have it, as :func:`field_of` gives them."""
        row = {item: position for position, item in enumerate(ids)}
        out = np.zeros((len(ids), self.dimension), np.float32)
        known = np.zeros(len(ids), bool)
        for batch in self._by_id(ids, [Columns.ITEM, *field_columns(modality)]):
            where = [row[item] for item in batch.column(Columns.ITEM).to_pylist()]
            out[where], known[where] = field_of(batch, modality)
        return out, known

    def items(self, ids: Collection[str]) -> dict[str, Item]:
        """Items by id; ids that the table does not hold are absent."""
        batches = self._by_id(ids, ITEM_COLUMNS)
        return {row[Columns.ITEM]: item_of(row) for batch in batches for row in batch.to_pylist()}

    def matching(self, where: str) -> list[str]:
        """Ids of the items for which a SQL expression over columns and attributes is true.

        Raises:
            FilterError: the expression does not parse, names a column that no item has, or is more than one.
        """
        if ";" in _QUOTED.sub("", where):  # Lance would ignore what follows
            raise FilterError(f"--where {where!r}: more than one expression", "Join conditions by AND or OR.")
        try:
            table = self._table.search().where(where).select([Columns.ITEM]).to_arrow()
        except (ValueError, RuntimeError) as error:
            reason = _NOISE.sub("", str(error).splitlines()[0])
            names = [*ITEM_COLUMNS[:7], *self.attribute_types]
            raise FilterError(f"--where {where!r}: {reason}", f"Columns: {', '.join(names)}.") from error
        return [str(item) for item in table.column(0).to_pylist()]

    def nearest(self, vector: NDArray[np.float32], k: int) -> tuple[list[str], NDArray[np.float32]]:
        """The ``k`` items nearest to a unit vector and their cosines, by the ANN index where there is one."""
        query = (
            self._table.search(vector, vector_column_name=VECTOR)
            .metric("cosine")
            .nprobes(20)
            .refine_factor(2)
        )
        found = query.select([Columns.ITEM, "_distance"]).limit(k).to_arrow()
        return found.column(Columns.ITEM).to_pylist(), 1 - found.column("_distance").to_numpy()

    def _by_id(self, ids: Collection[str], columns: list[str]) -> Iterator[pa.RecordBatch]:
        for listed in _id_lists(ids):
            query = self._table.search().where(f"{Columns.ITEM} IN ({listed})").select(columns)
            yield from query.to_batches(_SCAN_ROWS)


class ItemStore:
    """The LanceDB database of a workspace; ``uri`` is a folder or an object-store address."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._db = lancedb.connect(uri)

    def open(self, name: str, version: int) -> ItemTable:
        """A table as it was at ``version``.

        Raises:
            CorruptFileError: its files are missing or damaged.
        """
        try:
            table = self._db.open_table(name)
            table.checkout(version)
        except (ValueError, RuntimeError, OSError) as error:
            raise CorruptFileError(
                f"{self.uri}/{name}.lance: version {version} cannot be opened: {error}"
            ) from error
        return ItemTable(table, name, version)

    def write(
        self,
        base: ItemTable | None,
        upserts: Batches,
        upserted: Collection[str],
        deleted: Collection[str],
        dimension: int,
        index_rows: int,
    ) -> ItemTable:
        """Change ``base`` and return the new version; readers keep seeing the old one.

        Args:
            base: the present items; None begins an empty table beside whatever there is.
            upserts: rows (fixed columns) to insert or replace.
            upserted: the item ids that ``upserts`` holds.
            deleted: item ids to remove.
            dimension: length of the vectors.
            index_rows: rows from which an ANN index is built.
        """
        types = attribute_types(upserts(), base.attribute_types if base else {})
        schema = row_schema(dimension, types)
        commits = 1 + len(upserted) // _MERGE_ROWS + 1 + len(deleted) // _LISTED_IDS + 1
        if base is not None and base.attribute_types == types and base.version + commits <= _VERSIONS:
            table = self._update(base, upserts, deleted, schema)
            name = base.name
        else:
            name = self._new_name()
            gone = set(upserted) | set(deleted)
            kept = _without(base.scan(row_schema(1).names), gone) if base is not None else iter(())
            rows = (with_attributes(batch, schema) for batch in chain(kept, upserts()))
            reader = pa.RecordBatchReader.from_batches(schema, rows)
            # Without it LanceDB takes a null vector for an error.
            table = self._db.create_table(name, reader, on_bad_vectors="null")
        self._index(table, index_rows)
        return ItemTable(table, name, int(table.version))

    def collect(self, keep: Collection[str]) -> None:
        """Drop the tables that are not named in ``keep``."""
        for name in self._names():
            if name not in keep:
                self._db.drop_table(name)

    def _update(self, base: ItemTable, upserts: Batches, deleted: Collection[str], schema: pa.Schema) -> Any:
        table = self._db.open_table(base.name)
        if table.version != base.version:  # left by a run that did not finish
            table.checkout(base.version)
            table.restore()
        for listed in _id_lists(deleted):
            table.delete(f"{Columns.ITEM} IN ({listed})")
        for batches in _grouped(upserts(), _MERGE_ROWS):
            merge = table.merge_insert(Columns.ITEM).when_matched_update_all().when_not_matched_insert_all()
            rows = pa.Table.from_batches([with_attributes(batch, schema) for batch in batches])
            merge.execute(rows, on_bad_vectors="null")
        return table

    def _index(self, table: Any, index_rows: int) -> None:
        """Below ``index_rows`` an exact scan is as fast; rows added later are scanned beside the index."""
        if table.count_rows() >= index_rows and not table.list_indices():
            table.create_index(VECTOR, config=HnswSq(distance_type="cosine"))
            table.create_index(Columns.ITEM, config=BTree())

    def _names(self) -> list[str]:
        return [name for name in self._db.list_tables(limit=10_000).tables if name.startswith("items-")]

    def _new_name(self) -> str:
        return f"items-{max((int(name[6:]) for name in self._names()), default=0) + 1:04d}"


def _without(batches: Iterable[pa.RecordBatch], gone: Collection[str]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        mask = [item not in gone for item in batch.column(Columns.ITEM).to_pylist()]
        yield batch.filter(pa.array(mask, pa.bool_()))


def _grouped(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[list[pa.RecordBatch]]:
    group: list[pa.RecordBatch] = []
    for batch in batches:
        group.append(batch)
        if sum(member.num_rows for member in group) >= rows:
            yield group
            group = []
    if group:
        yield group


def _id_lists(ids: Collection[str]) -> Iterator[str]:
    """SQL lists of quoted ids, so many to a list."""
    listed = ["'" + item.replace("'", "''") + "'" for item in ids]
    for start in range(0, len(listed), _LISTED_IDS):
        yield ", ".join(listed[start : start + _LISTED_IDS])
