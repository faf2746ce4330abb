"""Items as Arrow rows: the fixed columns, and a typed column for each attribute that can be filtered on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llmrec.schema import AttributeValue, Columns, Document, Item, Modality, parse_pieces, pieces_json

ATTRIBUTES = "_attributes"
DOCUMENT = "_document"
PIECES = "_pieces"
KEY = "_key"
VECTOR = "_vector"
FIELD_VECTORS: dict[Modality, str] = {
    "text": "_vector_text",
    "picture": "_vector_picture",
    "sound": "_vector_sound",
}
"""Columns of the vectors of one modality each, null where an item lacks it. All three are null for an item
that has nothing but text: its whole vector is that of its text."""

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

ModalityVectors = Mapping[Modality, NDArray[np.float32]]
"""Vectors of one item, (dimension,) each."""

AttributeTypes = dict[str, pa.DataType]
"""Arrow type of each filterable attribute column."""


def row_schema(dimension: int, types: Mapping[str, pa.DataType] | None = None) -> pa.Schema:
    """Schema of the item table, with the filterable attributes last."""
    vector = pa.list_(pa.float32(), dimension)
    fields = [*_FIXED, pa.field(VECTOR, vector, nullable=False)]
    fields += [pa.field(name, vector) for name in FIELD_VECTORS.values()]
    return pa.schema(fields + [pa.field(name, kind) for name, kind in sorted((types or {}).items())])


def rows_of(
    items: Sequence[Item],
    documents: Sequence[Document],
    keys: Sequence[str],
    vectors: NDArray[np.float32],
    by_modality: Sequence[ModalityVectors] | None = None,
) -> pa.RecordBatch:
    """The fixed columns of encoded items.

    Args:
        items: the items.
        documents: what was encoded of each.
        keys: identities of what each row is made of.
        vectors: of the documents, (items, dimension).
        by_modality: for each item the vector of each modality, none where it has nothing but text; None
            where no item has more.
    """
    dimension = vectors.shape[1]
    by_modality = by_modality or [{}] * len(items)
    schema = row_schema(dimension)
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
    columns += [
        pa.array([found.get(modality) for found in by_modality], schema.field(name).type)
        for modality, name in FIELD_VECTORS.items()
    ]
    return pa.record_batch(columns, schema=schema)


def vectors_in(column: pa.Array) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The vectors of a column, one for each row that has one; and which rows have, (rows,)."""
    known = column.is_valid().to_numpy(zero_copy_only=False)
    # Of a nullable list flatten leaves the rows out that are null.
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size), known


def field_columns(modality: Modality) -> list[str]:
    """Columns from which :func:`field_of` reads a modality."""
    return [VECTOR, *FIELD_VECTORS.values()] if modality == "text" else [FIELD_VECTORS[modality]]


def field_of(batch: pa.RecordBatch, modality: Modality) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Vectors of one modality, (rows, dimension), 0 where an item lacks it; and which have it, (rows,)."""
    column = batch.column(FIELD_VECTORS[modality])
    own, known = vectors_in(column)
    vectors = np.zeros((len(known), column.type.list_size), np.float32)
    vectors[known] = own
    if modality == "text":
        nothing_else = ~np.any([vectors_in(batch.column(name))[1] for name in FIELD_VECTORS.values()], axis=0)
        vectors[nothing_else] = vectors_in(batch.column(VECTOR))[0][nothing_else]
        known = known | nothing_else
    return vectors, known


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
