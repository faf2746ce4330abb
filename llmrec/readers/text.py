"""Catalog text made plain: one Unicode form, no markup, no control characters."""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache

_INLINE = (
    "a|abbr|b|bdi|bdo|big|cite|code|del|em|font|i|ins|kbd|mark|q|s|samp|small|span|strike|strong|sub|sup|tt|u"
    "|wbr"
)
_BLOCK = (
    "address|article|aside|audio|blockquote|body|br|button|canvas|caption|center|col|colgroup|dd|details|dfn|div|dl"
    "|dt|embed|fieldset|figcaption|figure|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|label|legend|li"
    "|link|main|map|meta|nav|noscript|object|ol|option|p|picture|pre|script|section|select|source|style|summary|svg"
    "|table|tbody|td|template|textarea|tfoot|th|thead|title|tr|ul|var|video"
)
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s"'<>]+)"""
# The first attribute needs a value, so that "a <b and c> d" stays. Possessive quantifiers keep this linear.
_ATTRIBUTES = rf"(?:\s+[\w:.@-]+\s*=\s*{_VALUE}(?:\s+[\w:.@-]+(?:\s*=\s*{_VALUE})?)*+)?+"
_MARKUP = re.compile(
    r"<(?P<skip>script|style)\b[^<>]*>[^<]*+</(?P=skip)\s*>"
    r"|<!--[^<>]*+>"
    rf"|</?(?:(?P<inline>{_INLINE})|{_BLOCK})(?=[\s/>]){_ATTRIBUTES}\s*/?>",
    re.IGNORECASE,
)
# Only entities that end in ";": a URL may hold "&copy=1".
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# Not \t, \n and the other controls that count as white space: those separate words.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff]")


def clean(text: str) -> str:
    """Text in Unicode NFC without HTML tags, entities, control characters and lone surrogates.

    White space runs become one space. Only tags of real HTML elements go: ``a < b`` and ``list<int>`` stay.
    """
    if "<" in text:
        text = _strip(text)
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
        if "<" in text:  # feeds often escape their markup once more
            text = _strip(text)
    if not text.isprintable():
        text = _CONTROL.sub("", text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", _long_marks().sub(lambda match: match[0][:30], text))
    return " ".join(text.split())


def _strip(text: str) -> str:
    return _MARKUP.sub(lambda match: "" if match["inline"] else " ", text)


@lru_cache(maxsize=1)
def _long_marks() -> re.Pattern[str]:
    """Runs of more than 30 combining marks, the bound of Unicode's Stream-Safe Text Format (UAX #15).

    No language has them, and normalising takes time quadratic in their length.
    """
    marks = "".join(c for c in map(chr, range(0x300, 0x20000)) if unicodedata.combining(c))
    return re.compile(f"[{marks}]{{31,}}")
