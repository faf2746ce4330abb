"""Rows into items, interactions and users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, TypeVar

from llmrec.readers.columns import LOG, Binding
from llmrec.readers.values import (
    RejectedError,
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

Convert = Callable[[Mapping[str, Any], Notes], T]
"""Makes a record of a row, noting what it leaves out; raises ``RejectedError`` where it cannot."""

Converter = Callable[[Binding, bool], Convert[T]]
"""Prepares the conversion of rows with one binding; the flag says whether their values are typed."""

LONGEST_TEXT = 1_000_000


def items(binding: Binding, typed: bool) -> Convert[Item]:
    """Rows to items. Text beyond ``LONGEST_TEXT`` and unusable media references are left out and noted."""
    column = binding.column

    def convert(row: Mapping[str, Any], notes: Notes) -> Item:
        known = {ours: row[theirs] for ours, theirs in column.items()}
        return Item(
            to_id(known[Columns.ITEM], Columns.ITEM),
            title=_bounded(known.get(Columns.TITLE), Columns.TITLE, notes),
            text=_bounded(known.get(Columns.TEXT), Columns.TEXT, notes),
            categories=to_categories(known.get(Columns.CATEGORIES)),
            images=_media(known.get(Columns.IMAGES), Columns.IMAGES, notes),
            audio=_media(known.get(Columns.AUDIO), Columns.AUDIO, notes),
            video=_media(known.get(Columns.VIDEO), Columns.VIDEO, notes),
            attributes=_attributes(row, binding, typed),
        )

    return convert


def interactions(binding: Binding, typed: bool) -> Convert[Interaction]:
    """Rows to interactions. Without a weight column the weight is 1.0; an empty weight is an error."""
    required = itemgetter(*(binding.column[name] for name in LOG.required))
    weight = binding.column.get(Columns.WEIGHT)
    text = binding.column.get(Columns.TEXT)

    def convert(row: Mapping[str, Any], notes: Notes) -> Interaction:
        user, item, timestamp = required(row)
        return Interaction(
            to_id(user, Columns.USER),
            to_id(item, Columns.ITEM),
            to_timestamp(timestamp, Columns.TIMESTAMP),
            1.0 if weight is None else to_weight(row[weight], Columns.WEIGHT),
            "" if text is None else _bounded(row[text], Columns.TEXT, notes),
        )

    return convert


def users(binding: Binding, typed: bool) -> Convert[User]:
    """Rows to users; every column but the id is part of the profile."""
    user = binding.column[Columns.USER]

    def convert(row: Mapping[str, Any], notes: Notes) -> User:
        return User(to_id(row[user], Columns.USER), _attributes(row, binding, typed))

    return convert


def lacking(column: str) -> Convert[Any]:
    """Refuses every row: it has no such column."""

    def convert(row: Mapping[str, Any], notes: Notes) -> Any:
        raise RejectedError(column, "the row has no such column")

    return convert


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
