"""Items as Arrow rows: the fixed columns, and a typed column for each attribute that can be filtered on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llmrec.schema import AttributeValue, Columns, Document, Item, parse_pieces, pieces_json

ATTRIBUTES = "_attributes"
DOCUMENT = "_document"
PIECES = "_pieces"
KEY = "_key"
VECTOR = "_vector"

_UNQUOTABLE = re.compile(r"[.`]")
"""To the filter language a dot is a nested field and a backtick the end of a name."""

_STRINGS = pa.list_(pa.string())
_FIXED = [
    pa.field(Columns.ITEM, pa.string(), nullable=False),
    pa.field(Columns.TITLE, pa.string()),
    pa.field(Columns.TEXT, pa.string()),
    pa.field(Columns.CATEGORIES, _STRINGS),
    pa.field(Columns.IMAGES, _STRINGS),
    pa.field(Columns.AUDIO, _STRINGS),
    pa.field(Columns.VIDEO, _STRINGS),
    pa.field(ATTRIBUTES, pa.string()),
    pa.field(PIECES, pa.string()),
    pa.field(DOCUMENT, pa.string()),
    pa.field(KEY, pa.string()),
]
ITEM_COLUMNS = [field.name for field in _FIXED[:9]]
"""Columns from which an :class:`Item` is read back."""

AttributeTypes = dict[str, pa.DataType]
"""Arrow type of each filterable attribute column."""


def row_schema(dimension: int, types: Mapping[str, pa.DataType] | None = None) -> pa.Schema:
    """Schema of the item table, with the filterable attributes last."""
    fields = [*_FIXED, pa.field(VECTOR, pa.list_(pa.float32(), dimension), nullable=False)]
    return pa.schema(fields + [pa.field(name, kind) for name, kind in sorted((types or {}).items())])


def rows_of(
    items: Sequence[Item], documents: Sequence[Document], keys: Sequence[str], vectors: NDArray[np.float32]
) -> pa.RecordBatch:
    """The fixed columns of encoded items. ``vectors`` is (items, dimension)."""
    dimension = vectors.shape[1]
    columns = [
        pa.array([item.item_id for item in items], pa.string()),
        pa.array([item.title for item in items], pa.string()),
        pa.array([item.text for item in items], pa.string()),
        pa.array([list(item.categories) for item in items], _STRINGS),
        pa.array([list(item.images) for item in items], _STRINGS),
        pa.array([list(item.audio) for item in items], _STRINGS),
        pa.array([list(item.video) for item in items], _STRINGS),
        pa.array([json.dumps(dict(item.attributes), ensure_ascii=False) for item in items], pa.string()),
        pa.array([pieces_json(item.pieces) for item in items], pa.string()),
        pa.array([document.text for document in documents], pa.string()),
        pa.array(keys, pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dimension),
    ]
    return pa.record_batch(columns, schema=row_schema(dimension))


def item_of(row: Mapping[str, Any]) -> Item:
    """The item in a row that holds :data:`ITEM_COLUMNS`."""
    return Item(
        item_id=row[Columns.ITEM],
        title=row[Columns.TITLE] or "",
        text=row[Columns.TEXT] or "",
        categories=tuple(row[Columns.CATEGORIES] or ()),
        images=tuple(row[Columns.IMAGES] or ()),
        audio=tuple(row[Columns.AUDIO] or ()),
        video=tuple(row[Columns.VIDEO] or ()),
        attributes=json.loads(row[ATTRIBUTES] or "{}"),
        pieces=parse_pieces(row[PIECES] or "[]"),
    )


def attribute_types(batches: Iterable[pa.RecordBatch], known: Mapping[str, pa.DataType]) -> AttributeTypes:
    """Types that hold every attribute of ``batches`` and of the columns ``known`` so far.

    Integers widen to floats; any other mixture becomes a string.
    """
    types = dict(known)
    for batch in batches:
        for text in batch.column(ATTRIBUTES).to_pylist():
            for name, value in json.loads(text).items():
                column = column_name(name)
                if column is None:
                    continue
                kind = _type_of(value)
                have = types.setdefault(column, kind)
                if have != kind:
                    types[column] = _widen(have, kind)
    return types


def with_attributes(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """``batch`` with the attribute columns of ``schema`` filled from its attributes."""
    rows = [
        {column_name(name): value for name, value in json.loads(text).items()}
        for text in batch.column(ATTRIBUTES).to_pylist()
    ]
    columns = [
        batch.column(field.name)
        if field.name in batch.schema.names and not _is_attribute(field.name)
        else pa.array([_cast(row.get(field.name), field.type) for row in rows], field.type)
        for field in schema
    ]
    return pa.record_batch(columns, schema=schema)


def column_name(attribute: str) -> str | None:
    """The column that holds an attribute, or None where it cannot be filtered on.

    Names that begin with an underscore belong to llmrec and Lance (``_vector``, ``_rowid``, ``_distance``).
    """
    name = _UNQUOTABLE.sub("_", attribute)
    return name if name and _is_attribute(name) else None


def _is_attribute(name: str) -> bool:
    return name not in ITEM_COLUMNS and not name.startswith("_")


def _type_of(value: AttributeValue) -> pa.DataType:
    match value:
        case bool():
            return pa.bool_()
        case int() if -(2**63) <= value < 2**63:
            return pa.int64()
        case float():
            return pa.float64()
        case list():
            return _STRINGS
    return pa.string()


def _widen(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    numbers = (pa.int64(), pa.float64())
    return pa.float64() if one in numbers and other in numbers else pa.string()


def _cast(value: AttributeValue | None, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if kind == pa.string() and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return float(value) if kind == pa.float64() and isinstance(value, int) else value
