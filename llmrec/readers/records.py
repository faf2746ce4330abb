"""Rows into items, interactions and users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from llmrec.readers.columns import Binding
from llmrec.readers.values import (
    to_attributes,
    to_categories,
    to_id,
    to_media,
    to_text,
    to_timestamp,
    to_weight,
)
from llmrec.schema import AttributeValue, Columns, Interaction, Item, User

T = TypeVar("T", Item, Interaction, User)

Notes = list[tuple[str, str]]
"""What was left out of a row that is kept: our column, or the file's attribute, and the reason."""

Convert = Callable[[Mapping[str, Any], Binding, bool, Notes], T]
"""Row, binding, whether values are typed, and where to note what is left out; raises ``RejectedError``."""

LONGEST_TEXT = 1_000_000


def to_item(row: Mapping[str, Any], binding: Binding, typed: bool, notes: Notes) -> Item:
    """An item. Text beyond ``LONGEST_TEXT`` and unusable media references are left out and noted."""
    column = binding.column
    item_id = to_id(row[column[Columns.ITEM]], Columns.ITEM)
    known = {ours: row[theirs] for ours, theirs in column.items()}
    return Item(
        item_id,
        title=_bounded(known.get(Columns.TITLE), Columns.TITLE, notes),
        text=_bounded(known.get(Columns.TEXT), Columns.TEXT, notes),
        categories=to_categories(known.get(Columns.CATEGORIES)),
        images=_media(known.get(Columns.IMAGES), Columns.IMAGES, notes),
        audio=_media(known.get(Columns.AUDIO), Columns.AUDIO, notes),
        video=_media(known.get(Columns.VIDEO), Columns.VIDEO, notes),
        attributes=_attributes(row, binding, typed),
    )


def to_interaction(row: Mapping[str, Any], binding: Binding, typed: bool, notes: Notes) -> Interaction:
    """An interaction. Its weight is 1.0 where the row has no such column; a weight left empty is an error."""
    column = binding.column
    weight = column.get(Columns.WEIGHT)
    text = column.get(Columns.TEXT)
    return Interaction(
        to_id(row[column[Columns.USER]], Columns.USER),
        to_id(row[column[Columns.ITEM]], Columns.ITEM),
        to_timestamp(row[column[Columns.TIMESTAMP]], Columns.TIMESTAMP),
        1.0 if weight is None else to_weight(row[weight], Columns.WEIGHT),
        "" if text is None else _bounded(row[text], Columns.TEXT, notes),
    )


def to_user(row: Mapping[str, Any], binding: Binding, typed: bool, notes: Notes) -> User:
    """A user; every column but the id is part of the profile."""
    return User(to_id(row[binding.column[Columns.USER]], Columns.USER), _attributes(row, binding, typed))


def _attributes(row: Mapping[str, Any], binding: Binding, typed: bool) -> dict[str, AttributeValue]:
    return {
        name: value
        for theirs, ours in binding.others
        for name, value in to_attributes(ours, row[theirs], typed)
    }


def _bounded(value: Any, column: str, notes: Notes) -> str:
    text = to_text(value)
    if len(text) > LONGEST_TEXT:
        notes.append((column, f"cut to {LONGEST_TEXT:,} of its {len(text):,} characters"))
    return text[:LONGEST_TEXT]


def _media(value: Any, column: str, notes: Notes) -> tuple[str, ...]:
    references, problem = to_media(value)
    if problem:
        notes.append((column, problem))
    return tuple(references)
