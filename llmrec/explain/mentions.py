"""Which items an explanation names, and which of them each of its words is said of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from llmrec.explain import chinese
from llmrec.explain.sources import Sources, Support, title_words
from llmrec.explain.tokens import Claim, Token

Title = tuple[str, ...]

_ITEM = frozenset(("it", "its", "itself", "this"))
"""Words for the recommended item."""

_ANYTHING = frozenset(("you", "your", "try", "consider", "here", "then", "so", "we", "our"))
"""Words after which a sentence is no longer about the item that it named."""

_ENDS = frozenset(".!?;:。！？；：")

LISTING = frozenset((",", "and", "&", "，", "、", "和", "与", "及"))
"""What stands between the titles of a list."""


@dataclass(frozen=True, slots=True)
class Mention:
    """The title of an item in a claim: the places of its first token and past its last."""

    start: int
    end: int
    title: Title


def mentions(claim: Claim, support: Support, sources: Sources) -> Iterator[Mention]:
    """The titles that a claim names, in order, none within another.

    A quoted text is a title if it is that of an item of the evidence; words without quotation marks are if
    they begin like a name, and the cited evidence does not say them otherwise.
    """
    run: list[int] = []
    for index, token in enumerate(claim.tokens):
        if token.kind == "word":
            run.append(index)
        elif token.kind in ("quote", "cite"):
            yield from _unquoted(claim.tokens, run, support, sources)
            run = []
        if token.kind == "quote" and token.text not in support.texts:
            title = title_words(token.text)
            if title in sources.titles:
                yield Mention(index, index + 1, title)
    yield from _unquoted(claim.tokens, run, support, sources)


def _unquoted(
    tokens: Sequence[Token], run: Sequence[int], support: Support, sources: Sources
) -> list[Mention]:
    text = tuple(tokens[index].folded for index in run)
    found: list[Mention] = []
    taken: set[int] = set()
    for title in sorted(sources.titles, key=len, reverse=True):
        for start in range(len(text) - len(title) + 1):
            end = start + len(title)
            if text[start:end] != title or taken.intersection(range(start, end)):
                continue
            named = is_name(tokens[run[start]]) or (len(title) > 1 and bool(support.core(title)))
            if named and not support.states(title):
                found.append(Mention(run[start], run[end - 1] + 1, title))
                taken.update(range(start, end))
    return sorted(found, key=lambda mention: mention.start)


class Subjects:
    """Follows an explanation, claim by claim, for which items its words are said of."""

    def __init__(self, item: Title) -> None:
        self.item = item
        self._about: frozenset[Title] | None = None
        self._listing = False

    def __call__(self, claim: Claim, named: Iterable[Mention]) -> list[frozenset[Title] | None]:
        """The titles that each token of the next claim is said of, (tokens,); None: of anything cited.

        A title takes what follows it in its sentence, and titles in a list take it together, until the
        sentence turns to the recommended item ("it", "this") or to the user.
        """
        begins = {mention.start: mention for mention in named}
        found: list[frozenset[Title] | None] = []
        until = 0
        for index, token in enumerate(claim.tokens):
            if index in begins:
                mention, until = begins[index], begins[index].end
                before = self._about if self._listing and self._about else frozenset[Title]()
                self._about, self._listing = before | {mention.title}, True
            elif index >= until:
                self._read(token)
            found.append(self._about)
        return found

    def _read(self, token: Token) -> None:
        if token.kind == "mark" and token.text in _ENDS:
            self._about = None
        elif token.kind == "word" and (token.folded in _ITEM or chinese.says(token.folded, chinese.ITEM)):
            self._about = frozenset((self.item,))
        elif token.kind == "word" and (token.folded in _ANYTHING or chinese.says(token.folded, chinese.USER)):
            self._about = None
        self._listing = token.kind == "cite" or token.folded in LISTING


def is_name(token: Token) -> bool:
    """Whether a word is written as a name is: with a capital that no sentence begins with."""
    return token.text[0].isupper() and not token.begins_sentence
