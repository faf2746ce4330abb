"""Catalog text made plain."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings, strategies as st

from llmrec.readers.text import clean


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("plain", "plain"),
        ("  a \t\r\n b\u00a0c ", "a b c"),
        ("e\u0301", "é"),
        ("a\x00b\x1b[31m\x7f\u0085c", "ab[31m c"),
        ("\ud800x\udfff\ufeff", "x"),
        ("\U0001f600 👩\u200d🔬", "\U0001f600 👩\u200d🔬"),
        ("<p>One</p><p>Two<br/>Three</p>", "One Two Three"),
        ("H<sub>2</sub>O <B CLASS='x'>is</B> wet", "H2O is wet"),
        ('<a href="https://x.org/?a>b" target=_blank>link</a>', "link"),
        ('<iframe src="x" allowfullscreen></iframe>film', "film"),
        ("<style>p { color: red }</style>text<script src='x'>run()</script>", "text"),
        ("a<!-- hidden -->b", "a b"),
        ("&lt;p&gt;escaped&lt;/p&gt; &amp; &quot;quoted&quot;", 'escaped & "quoted"'),
        ("caf&eacute; &#233; &#xe9;", "café é é"),
        ("AT&T &c. ?a=1&copy=2", "AT&T &c. ?a=1&copy=2"),
        ("a < b and c > d", "a < b and c > d"),
        ("if a <b and c> d", "if a <b and c> d"),
        ("list<int> <3 <Untitled>", "list<int> <3 <Untitled>"),
        ("1 &lt; 2", "1 < 2"),
        ("&#" + "9" * 5000 + ";", "&#" + "9" * 5000 + ";"),
    ],
)
def test_clean(raw: str, expected: str) -> None:
    assert clean(raw) == expected


@settings(max_examples=50)
@given(st.text())
def test_clean_text_can_be_stored(raw: str) -> None:
    text = clean(raw)
    assert text.encode().decode() == text == text.strip()
    assert not any(unicodedata.category(char) == "Cc" for char in text)


@pytest.mark.parametrize(
    "piece",
    [
        "<a ",
        "<a x='",
        '<a x="',
        "<a x=1 ",
        " x=1",
        "<!--",
        "<style>",
        "&lt;",
        "&#1",
        "\u0301\u0327",
        "<b",
        "<script x",
    ],
)
def test_hostile_text_takes_linear_time(piece: str) -> None:
    began = time.perf_counter()
    clean("<a" + piece * (1_000_000 // len(piece)))
    assert time.perf_counter() - began < 2
