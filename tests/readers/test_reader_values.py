"""Ids, timestamps, weights, lists and attributes, from whatever a file holds."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrec.readers.values import (
    LATEST,
    RejectedError,
    to_attributes,
    to_categories,
    to_id,
    to_media,
    to_text,
    to_timestamp,
)

MOMENT = 1_445_714_994.0
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3),
)


@pytest.mark.parametrize(
    "value",
    [
        1445714994,
        1445714994.0,
        "1445714994",
        " 1445714994 ",
        "1.445714994e9",
        1445714994000,
        "1445714994000",
        1445714994000000,
        1445714994000000000,
        "2015-10-24T19:29:54Z",
        "2015-10-24T19:29:54",
        "2015-10-24 19:29:54",
        "2015-10-24T21:29:54+02:00",
        "20151024T192954Z",
        datetime(2015, 10, 24, 19, 29, 54),
        datetime(2015, 10, 24, 14, 29, 54, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_timestamps(value: Any) -> None:
    assert to_timestamp(value, "t") == MOMENT


def test_dates_are_midnight_utc() -> None:
    assert to_timestamp("2015-10-24", "t") == to_timestamp(date(2015, 10, 24), "t") == 1445644800.0


@given(st.datetimes(datetime(1973, 3, 4), datetime(2199, 12, 31)), st.sampled_from([1, 10**3, 10**6]))
def test_every_unit_gives_the_same_moment(moment: datetime, unit: int) -> None:
    seconds = moment.replace(tzinfo=UTC).timestamp()
    assert to_timestamp(moment.isoformat(), "t") == seconds
    assert to_timestamp(round(seconds * unit), "t") == pytest.approx(seconds, abs=0.6 if unit == 1 else 1e-3)


@given(JSON)
def test_a_timestamp_is_in_range_or_rejected(value: Any) -> None:
    with suppress(RejectedError):
        assert 0 <= to_timestamp(value, "t") < LATEST


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12, "12"),
        (12.0, "12"),
        ("12.0", "12"),
        (" a ", "a"),
        ("007", "007"),
        (0, "0"),
        ("1.5", "1.5"),
        (1.5, "1.5"),
        ("é-ü_1", "é-ü_1"),
        ("a" * 512, "a" * 512),
    ],
)
def test_ids(value: Any, expected: str) -> None:
    assert to_id(value, "item_id") == expected


@given(JSON)
def test_an_id_is_printable_or_rejected(value: Any) -> None:
    with suppress(RejectedError):
        name = to_id(value, "item_id")
        assert 0 < len(name.encode()) <= 4 * 512
        assert name == name.strip()
        assert to_id(name, "item_id") == name


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ()),
        ("", ()),
        ("Drama", ("Drama",)),
        ("Drama | Comedy|Drama|", ("Drama", "Comedy")),
        ('["Drama", "Sci|Fi"]', ("Drama", "Sci|Fi")),
        ("[broken", ("[broken",)),
        (["Drama", None, 3, ["Nested", "<b>Bold</b>"]], ("Drama", "3", "Nested", "Bold")),
        ("(no genres listed)", ()),
    ],
)
def test_categories(value: Any, expected: tuple[str, ...]) -> None:
    assert to_categories(value) == expected


@pytest.mark.parametrize(
    ("value", "kept", "problem"),
    [
        (None, [], ""),
        (float("nan"), [], ""),
        (" a b.jpg ", ["a b.jpg"], ""),
        ("a.jpg|b.jpg|a.jpg", ["a.jpg", "b.jpg"], ""),
        (["https://x.org/?a=1&amp;b=<i>"], ["https://x.org/?a=1&amp;b=<i>"], ""),
        (["a\x00.jpg", "b.jpg"], ["b.jpg"], "neither a path nor a URL"),
        (["\ud800"], [], "neither a path nor a URL"),
        ([3], [], "neither a path nor a URL"),
        ({"path": "a.jpg", "bytes": None}, ["a.jpg"], ""),
        ({"path": "a.jpg", "bytes": b"x"}, [], "inside the file"),
    ],
)
def test_media(value: Any, kept: list[str], problem: str) -> None:
    references, reason = to_media(value)
    assert references == kept
    assert problem in reason
    assert bool(problem) == bool(reason)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1995", 1995),
        ("-3", -3),
        ("0", 0),
        ("9.50", 9.5),
        ("1.5e3", 1500.0),
        ("true", True),
        ("False", False),
        ('["a", 1]', ["a", "1"]),
        ("007", "007"),
        ("-0", "-0"),
        ("1e5", "1e5"),
        ("1_000", "1_000"),
        ("+1", "+1"),
        (".5", ".5"),
        ("NaN", "NaN"),
        ("inf", "inf"),
        ("1.0e999", "1.0e999"),
        ("٣", "٣"),
        ("1234567890123456789012", "1234567890123456789012"),
        ("12 kg", "12 kg"),
    ],
)
def test_text_cells_that_are_numbers_become_numbers(text: str, value: Any) -> None:
    (pair,) = to_attributes("a", text, typed=False)
    assert pair == ("a", value)
    assert type(pair[1]) is type(value)
    assert list(to_attributes("a", text, typed=True)) == [("a", text)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, {}),
        (" ", {}),
        ([], {}),
        ({}, {}),
        (float("nan"), {}),
        (b"x", {}),
        (True, {"a": True}),
        (2**63, {"a": str(2**63)}),
        (Decimal("1.5"), {"a": 1.5}),
        (date(2020, 1, 2), {"a": "2020-01-02"}),
        (["x", None, 2, {"k": 1}], {"a": ["x", "2", '{"k": 1}']}),
        ({"b": {"c": 1}, "d": "<p>x</p>"}, {"a.b.c": 1, "a.d": "x"}),
    ],
)
def test_typed_attributes(value: Any, expected: dict[str, Any]) -> None:
    assert dict(to_attributes("a", value, typed=True)) == expected


def test_text_of_other_types() -> None:
    assert to_text(["one", None, "two"]) == "one two"
    assert to_text(1984) == "1984"
    assert to_text(float("nan")) == to_text(None) == ""
    assert to_text({"a": "é"}) == '{"a": "é"}'
