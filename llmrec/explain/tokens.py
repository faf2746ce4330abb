"""An explanation cut into words, quotations and citations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from llmrec.explain.words import WORD, fold

_TOKEN = re.compile(rf'(?P<cite>\[[^\[\]]*\])|(?P<quote>"[^"]*")|(?P<word>{WORD.pattern})|(?P<mark>[^\w\s])')
_CITATION = re.compile(r"\[\s*[0-9]{1,4}(?:\s*,\s*[0-9]{1,4})*\s*\]")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an explanation. ``text`` is without quotation marks; ``start`` is its first character."""

    kind: Literal["cite", "quote", "word", "mark"]
    text: str
    start: int
    begins_sentence: bool

    @property
    def folded(self) -> str:
        """The text for comparison."""
        return fold(self.text)

    @property
    def numbers(self) -> frozenset[int]:
        """What a citation cites; empty if it is not one."""
        if self.kind != "cite" or not _CITATION.fullmatch(self.text):
            return frozenset()
        return frozenset(int(number) for number in re.findall(r"[0-9]+", self.text))


@dataclass(frozen=True, slots=True)
class Claim:
    """A stretch of an explanation, the numbers that are cited right after it, and what stands before it.

    The last claim of a text may cite nothing, such as the words after the last citation.
    """

    tokens: tuple[Token, ...]
    numbers: frozenset[int]
    before: tuple[Token, ...]


def tokenize(text: str) -> list[Token]:
    """Tokens in the order of the text; white space and underscores are in none."""
    tokens: list[Token] = []
    begins = True
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        found = match.group()
        tokens.append(Token(kind, found[1:-1] if kind == "quote" else found, match.start(), begins))  # type: ignore[arg-type]
        begins = kind == "mark" and found in ".!?:…。！？："
    return tokens


def claims(tokens: Sequence[Token]) -> Iterator[Claim]:
    """Cut at each group of neighbouring citations."""
    begin, numbers = 0, frozenset[int]()
    for index, token in enumerate(tokens):
        if token.kind == "cite":
            numbers |= token.numbers
        elif numbers:
            yield Claim(tuple(tokens[begin:index]), numbers, tuple(tokens[:begin]))
            begin, numbers = index, frozenset()
    if begin < len(tokens):
        yield Claim(tuple(tokens[begin:]), numbers, tuple(tokens[:begin]))
