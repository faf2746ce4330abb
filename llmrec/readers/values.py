"""Single values, as they come from any format, into what the schema holds."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from llmrec.readers.text import clean
from llmrec.schema import AttributeValue

LONGEST_ID = 512
LATEST = datetime(2201, 1, 1, tzinfo=UTC).timestamp()
"""Timestamps from here on are taken for mistakes, or for another unit."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d*)\.\d+(?:[eE][+-]?\d{1,3})?", re.ASCII)
_NO_CATEGORIES = "(no genres listed)"  # MovieLens


class RejectedError(Exception):
    """A value without which its row is of no use.

    Args:
        column: our name of its column.
        reason: what is wrong with it.
    """

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason


def to_id(value: Any, column: str) -> str:
    """An id as text. ``12.0``, which pandas makes of integer columns with gaps, is ``"12"``.

    Raises:
        RejectedError: it is empty, not a scalar, longer than ``LONGEST_ID``, or holds control characters.
    """
    text = value if isinstance(value, str) else _id_text(value, column)
    if (
        text.isalnum() and len(text) <= LONGEST_ID
    ):  # nearly every id; the checks below cost as much as the rest
        return text
    name = text.strip()
    if name.endswith(".0") and name[:-2].isdecimal():
        name = name[:-2]
    if not name:
        raise RejectedError(column, "the id is empty")
    if len(name) > LONGEST_ID:
        raise RejectedError(column, f"the id has {len(name):,} characters; at most {LONGEST_ID} are allowed")
    if not name.isprintable() and _CONTROL.search(name):
        raise RejectedError(column, f"the id {_shown(name)} holds control characters")
    return name


def _id_text(value: Any, column: str) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RejectedError(column, f"an id must be text or a number, not {type(value).__name__}")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def to_timestamp(value: Any, column: str) -> float:
    """Seconds since the epoch, UTC.

    Args:
        value: a number of seconds, milli-, micro- or nanoseconds (told apart by magnitude); ISO 8601 text or
            a date, where one without a zone is UTC.
        column: its column, for errors.

    Raises:
        RejectedError: it is none of these, or lies outside 1970 to 2200.
    """
    if isinstance(value, str):
        try:
            seconds = _number(value)
        except ValueError:
            seconds = _in_range(_iso_seconds(value, column), value, column)
    elif isinstance(value, date):
        seconds = _in_range(_seconds(value), value, column)
    elif isinstance(value, bool):
        raise RejectedError(column, f"{value} is not a timestamp")
    else:
        seconds = _float(value, column, "a timestamp")
    if 0 <= seconds < LATEST:
        return seconds
    for unit in (1e3, 1e6, 1e9):
        if 1e8 * unit <= seconds < LATEST * unit:
            return seconds / unit
    return _in_range(seconds, value, column)


def to_weight(value: Any, column: str) -> float:
    """The strength of an interaction.

    Raises:
        RejectedError: it is not a finite number.
    """
    weight = _float(value, column, "a weight")
    if not math.isfinite(weight):
        raise RejectedError(column, f"the weight {_shown(value)} is not a finite number")
    return weight


def to_text(value: Any) -> str:
    """Clean text; the parts of a list are joined, a dict is written as JSON, NaN is nothing."""
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bytes) or value != value:
        return ""
    if isinstance(value, list | tuple):
        return " ".join(filter(None, map(to_text, value)))
    if isinstance(value, dict):
        return clean(json.dumps(value, ensure_ascii=False, default=str))
    return clean(value.isoformat() if isinstance(value, date | time) else str(value))


def to_categories(value: Any) -> tuple[str, ...]:
    """Distinct categories, in order, from a list, a JSON list or text separated by ``|``."""
    if value is None:
        return ()
    names = dict.fromkeys(to_text(part) for part in _parts(value))
    return tuple(name for name in names if name and name != _NO_CATEGORIES)


def to_media(value: Any) -> tuple[list[str], str]:
    """Media references as written, from the same forms as categories; and why any was left out, or ``""``.

    A ``{"path", "bytes"}`` pair, as ``datasets`` stores media, is read by its path.
    """
    kept: dict[str, None] = {}
    problem = ""
    for part in () if value is None else _parts(value):
        if isinstance(part, dict) and part.get("bytes"):
            problem = "media stored inside the file is not read; save it beside and give its path"
            continue
        reference = part.get("path") if isinstance(part, dict) else part
        if isinstance(reference, str) and not _CONTROL.search(reference):
            kept[reference.strip()] = None
        elif reference is not None and reference == reference:
            problem = f"{_shown(reference)} is neither a path nor a URL"
    kept.pop("", None)
    return list(kept), problem


def to_attributes(name: str, value: Any, typed: bool) -> Iterator[tuple[str, AttributeValue]]:
    """Attribute names and values of a column: none where it is empty, ``a.b`` for each key of a dict.

    ``typed``: the format keeps types, so text is text; otherwise a text that is a number becomes one.
    """
    if isinstance(value, str):
        if text := clean(value):
            yield name, text if typed else _parsed(text)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from to_attributes(f"{name}.{clean(str(key))}", inner, typed)
    elif isinstance(value, list | tuple):
        if texts := [text for text in map(to_text, value) if text]:
            yield name, texts
    elif isinstance(value, bool):
        yield name, value
    elif isinstance(value, int):
        yield name, value if -(2**63) <= value < 2**63 else str(value)
    elif isinstance(value, float | Decimal):
        if math.isfinite(value):
            yield name, float(value)
    elif text := to_text(value):
        yield name, text


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, str):
        listed = _json_list(value)
        yield from value.split("|") if listed is None else _parts(listed)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part) if isinstance(part, list | tuple) else (part,)
    else:
        yield value


def _parsed(text: str) -> AttributeValue:
    """What a cell of text means: a number, a truth value, a JSON list, or itself. ``007`` is text."""
    if _INTEGER.fullmatch(text):
        return int(text) if text != "-0" else text
    if _DECIMAL.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text[0] in "tT"
    listed = _json_list(text)
    return text if listed is None else [part for part in map(to_text, listed) if part]


def _json_list(text: str) -> list[Any] | None:
    if text.lstrip().startswith("["):
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return listed if isinstance(listed, list) else None
    return None


def _number(text: str) -> float:
    if "_" in text:  # Python's own separator of thousands
        raise ValueError(text)
    return float(text)


def _float(value: Any, column: str, what: str) -> float:
    if value is None or value == "":
        raise RejectedError(column, f"{what} is missing")
    try:
        return _number(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        raise RejectedError(column, f"{_shown(value)} is not {what}") from None


def _iso_seconds(text: str, column: str) -> float:
    try:
        return _seconds(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        reason = f"{_shown(text)} is neither a number nor an ISO 8601 time" if text.strip() else "is missing"
        raise RejectedError(column, f"the timestamp {reason}") from None


def _in_range(seconds: float, value: Any, column: str) -> float:
    if 0 <= seconds < LATEST:
        return seconds
    raise RejectedError(column, f"the timestamp {_shown(value)} is not between the years 1970 and 2200")


def _seconds(moment: date) -> float:
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _shown(value: Any) -> str:
    """A value for an error message: quoted, and short whatever it is."""
    text = ascii(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 64 else text[:60] + "…"
