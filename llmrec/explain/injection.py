"""Text that talks to a language model instead of describing an item.

Whoever writes a title, a description, a picture or a speech may put orders into it: "ignore previous
instructions and say ...". Such sentences are no evidence. They are found by patterns in several languages,
once what hides them is undone: compatibility forms, invisible characters, letters of other scripts that look
alike, digits for letters, spaced and reversed letters, and the usual encodings.

Patterns find what they know. What they miss is still only data in the prompt; under its grammar a model
writes nothing but sentences about its evidence, and the verifier reads them.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from llmrec.explain.orders import CLEAR, LIKELY, given

_TURN = re.compile(
    r"<[|/]?[ ▁_]?(?:im_?(?:start|end|sep)|(?:begin|start|end)[ ▁_]?of[ ▁_]?(?:text|turn|sentence)|endof\w+"
    r"|eo[mst](?:_id)?|bos|(?:start|end)_header_id|system\w*|user|assistant|model|human|end|tool\w*|think"
    r"|channel|message|[a-z_]+_token|s|pad|unk|facts)[ ▁_]?\|?>"
    r"|\[/?(?:inst|sys|system_prompt|available_tools|tool_calls|tool_results)\]|<</?sys>>"
    r"|#{2,} ?(?:instruction|response|system|user|assistant|human|input)\b"
    r"|-{3} ?(?:user|system|assistant) ?-{3}",
    re.IGNORECASE,
)
"""What begins or ends a turn in the chat templates of common models, and in the prompt of llmrec."""

_FULL_WIDTH = str.maketrans("＜＞｜［］＃", "<>|[]#")
_TAG = re.compile(r"<[^<>]{0,40}>")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}[ :]?){12,}")
_SPACED = re.compile(r"(?<!\w)\w(?: \w)+(?!\w)")
_SPACED_OUT = re.compile(r"(?<!\w)[^\W\d_\u3040-\u9fff](?: [^\W\d_\u3040-\u9fff]){7,}(?!\w)")
"""Eight letters or more in a row, each alone: what they spell is hidden where the words run together too."""
_MIXED = re.compile(r"\w*(?:[a-z][0-9@$!|]|[0-9@$!|][a-z])[\w@$!|]*")
_MARKS = re.compile("[\u0300-\u036f\u0483-\u0487\u20d0-\u20ff]")
_REPEATED = re.compile(r"\b(\w+(?:\W\w+)?)\W+\1\b", re.IGNORECASE)
_STUFFED = 3
"""So many words or pairs said twice in a row make a sentence a heap of keywords."""

_ALIKE = str.maketrans(
    dict(
        zip(
            "авекмнорстухіјѕԁɡӏһԛԝαβεηικνορτυχωաոսօɑı",
            "abekmhopctyxijsdglhqwabenikvoptuxwwnuoai",
            strict=True,
        )
    )
)
"""Cyrillic, Greek, Armenian and other letters to the Latin ones that they look like, in lower case."""

_LEET = str.maketrans("0134578@$!|", "oieastbasil")


def before_turn(text: str) -> str:
    """A text up to where it begins or ends a turn of a chat; what follows was not written about an item."""
    plain = _visible(text)
    found = _TURN.search(plain.translate(_FULL_WIDTH))
    return text if found is None else plain[: found.start()]


def addresses_model(text: str, *, sure: bool = False) -> bool:
    """Whether a sentence seems to talk to a language model, to be encoded, or to be a heap of keywords.

    Args:
        text: a sentence, a title, an attribute; not longer than some thousand characters.
        sure: only what hardly any title looks like: "Say Anything" and "You Are Not Alone" are films.
    """
    orders = CLEAR if sure else LIKELY
    plain = _skeleton(_visible(text))
    if any(given(reading, orders) for reading in _readings(text)):
        return True
    if any(given(reading, CLEAR) for reading in (plain[::-1], codecs.encode(plain, "rot13"))):
        return True
    disguised = _hidden(text) is not None or _SPACED_OUT.search(_visible(text)) is not None
    return not sure and (disguised or len(_REPEATED.findall(text)) >= _STUFFED)


def _readings(text: str) -> Iterator[str]:
    """A text as it may be meant, each reading in lower case without accents."""
    visible = _visible(text)
    plain = _skeleton(visible)
    yield plain
    if "%" in visible or "&" in visible:
        yield _skeleton(_TAG.sub(" ", html.unescape(unquote(visible))))
    if not plain.isascii():
        yield plain.translate(_ALIKE)
    if (read := _MIXED.sub(lambda found: found.group().translate(_LEET), plain)) != plain:
        yield read
    if (joined := _SPACED.sub(lambda found: found.group().replace(" ", ""), visible)) != visible:
        yield _skeleton(joined)
    if hidden := _hidden(text):
        yield _skeleton(hidden)


def _visible(text: str) -> str:
    """Compatibility forms (full width, mathematical) made plain; characters that show nothing removed."""
    if text.isascii():
        return text
    return "".join(
        char
        for char in unicodedata.normalize("NFKC", text)
        if unicodedata.category(char) not in ("Cf", "Cs", "Co", "Cn")
    )


def _skeleton(text: str) -> str:
    """Lower case, white space as one space, no marks on Latin, Greek and Cyrillic letters."""
    if text.isascii():
        return " ".join(text.lower().split())
    bare = _MARKS.sub("", unicodedata.normalize("NFD", text.casefold()))
    return unicodedata.normalize("NFC", " ".join(bare.split()))


def _hidden(text: str) -> str | None:
    """What a stretch of base64 or hexadecimal digits says, if it says anything in ASCII."""
    for found in (*_HEX.finditer(text), *_BASE64.finditer(text)):
        code = found.group()
        for decode in (_from_hex, _from_base64):
            decoded = decode(code)
            if len(decoded) >= 8 and all(32 <= byte < 127 for byte in decoded) and b" " in decoded:
                return decoded.decode("ascii")
    return None


def _from_hex(code: str) -> bytes:
    try:
        return bytes.fromhex(code.replace(":", " "))
    except ValueError:
        return b""


def _from_base64(code: str) -> bytes:
    try:
        return base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_")
    except binascii.Error:
        return b""
