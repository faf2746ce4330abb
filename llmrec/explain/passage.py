"""Words in their places: which are denied, which belong to one clause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llmrec.explain.tokens import Token
from llmrec.explain.words import denies, states

_SCOPE = 3
"""So many words that state something are denied by a "not" before them, at most."""

_ENDS_CLAUSE = frozenset(".,;:!?…()—–。，、；：！？（）")


@dataclass(frozen=True, slots=True)
class Word:
    """A word in its place.

    Args:
        token: the word.
        clause: the same number for all words of one clause.
        denied: whether something denies it; None where that cannot be told, as of
            the sugar in "no salt and sugar".
    """

    token: Token
    clause: int
    denied: bool | None

    @property
    def folded(self) -> str:
        """The word for comparison."""
        return self.token.folded


def passage(tokens: Sequence[Token]) -> list[Word]:
    """The words of a text in their order. Quotations and citations end a clause as commas do."""
    found: list[Word] = []
    clause, left, doubt = 0, 0, False
    for index, token in enumerate(tokens):
        if token.kind != "word":
            if token.kind != "mark" or token.text in _ENDS_CLAUSE:
                clause, left = clause + 1, 0
            continue
        if token.folded == "but":
            left = 0
        elif token.folded in ("and", "or"):
            doubt = True
        denied = None if left and doubt else left > 0
        found.append(Word(token, clause, denied or _follows(tokens, index, "-", "free")))
        left = max(0, left - states(token.folded))
        if is_denial(tokens, index):
            left, doubt = _SCOPE, False
    return found


def is_denial(tokens: Sequence[Token], index: int) -> bool:
    """Whether the word there denies what follows: "not", or the "free" of "free of lead"."""
    word = tokens[index].folded
    return denies(word) or (
        word == "free" and (_follows(tokens, index, "of") or _follows(tokens, index, "from"))
    )


def denied_by(words: Sequence[Word], at: int) -> Iterator[Word]:
    """What the denying word at ``at`` denies."""
    for word in words[at + 1 :]:
        if word.clause != words[at].clause or word.denied is False:
            return
        yield word


def _follows(tokens: Sequence[Token], index: int, *texts: str) -> bool:
    return tuple(token.folded for token in tokens[index + 1 : index + 1 + len(texts)]) == texts
