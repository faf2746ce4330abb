"""The check of one claim of an explanation against the evidence that it cites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmrec.explain import chinese
from llmrec.explain.sources import Sources, title_words
from llmrec.explain.titles import TitleIndex
from llmrec.explain.tokens import Claim, Token
from llmrec.explain.words import TASTE, words

_LISTING = ("and", "&", "both", "和", "与", "及", "、")
_CHINESE_TASTE = tuple(chinese.TASTE)


class ClaimCheck:
    """Looks for what a claim says beyond its evidence.

    Args:
        claim: what is checked.
        sources: what the whole explanation may draw on. A claim that cites nothing, such as the words after
            the last citation, may draw on all that the explanation cites.
        catalog: every title of the catalog.
    """

    def __init__(self, claim: Claim, sources: Sources, catalog: TitleIndex) -> None:
        self.claim = claim
        self.sources = sources
        self.catalog = catalog
        self.support = sources.support(claim.numbers or sources.cited)
        self._named: list[tuple[int, tuple[str, ...]]] = []

    def reasons(self) -> Iterator[str]:
        """What is wrong with the claim, with the character where it stands; nothing if it holds."""
        run: list[int] = []
        for index, token in enumerate(self.claim.tokens):
            if token.kind == "word":
                run.append(index)
            elif token.kind in ("quote", "cite"):
                yield from self._check_words(run)
                run = []
            if token.kind == "quote":
                yield from self._check_quote(index)
        yield from self._check_words(run)
        for index, title in self._named:
            yield from self._check_title(index, title)

    def _check_quote(self, index: int) -> Iterator[str]:
        token = self.claim.tokens[index]
        phrase = words(token.text)
        if token.text in self.support.texts:
            return
        if title_words(token.text) in self.sources.titles:
            self._named.append((index, title_words(token.text)))
        elif not (phrase and self.support.states(phrase)):
            yield _says(token.text, token, "is not in the evidence that it cites")
        elif token.text[0].isupper() and phrase in self.catalog:
            yield _says(token.text, token, "is a title that the evidence does not name")

    def _check_words(self, run: Sequence[int]) -> Iterator[str]:
        """Check words between quotations and citations: the titles among them, then each word."""
        tokens = [self.claim.tokens[index] for index in run]
        text = tuple(token.folded for token in tokens)
        titled: set[int] = set()
        for start, end in self._titles_in(text):
            phrase = text[start:end]
            names = _is_name(tokens[start]) or (end - start > 1 and self.support.core(phrase))
            if names and not self.support.states(phrase):
                self._named.append((run[end - 1], phrase))
                titled.update(range(start, end))
        for start, end in self.catalog.find(text):
            core = self.support.core(text[start:end])
            if not core or self.support.states(core) or titled.intersection(range(start, end)):
                continue
            if end - start > 1 or _is_name(tokens[start]):
                title = " ".join(text[start:end])
                yield _says(title, tokens[start], "is a title that the evidence does not name")
        for position, token in enumerate(tokens):
            if position in titled:
                continue
            if not self.support.grounds(token.folded):
                yield _says(token.text, token, "is not in the evidence that it cites")
            elif _is_name(token) and token.text not in self.support.as_written:
                yield _says(token.text, token, "is a name that is not in the evidence that it cites")

    def _titles_in(self, text: tuple[str, ...]) -> Iterator[tuple[int, int]]:
        """Where titles that may be named stand in a text, the longest first."""
        for title in sorted(self.sources.titles, key=len, reverse=True):
            for start in range(len(text) - len(title) + 1):
                if text[start : start + len(title)] == title:
                    yield start, start + len(title)

    def _check_title(self, index: int, title: tuple[str, ...]) -> Iterator[str]:
        """Check that a named title is cited with a number of its own, and not called liked if it was not."""
        tokens, allowed = self.claim.tokens, self.sources.titles[title]
        name, liked = " ".join(title), title in self.sources.liked
        after = tokens[index + 1] if index + 1 < len(tokens) else None
        if after is not None and after.kind == "cite" and not self.claim.numbers & allowed:
            yield _says(name, tokens[index], f"is cited with {after.text}, which is not about it")
        elif title != self.sources.item_title and not self.sources.cited & allowed:
            yield _says(name, tokens[index], "is named without its citation")
        if not liked and _called_liked((*self.claim.before, *tokens[:index])):
            yield _says(name, tokens[index], "is not an item that the user liked")


def _called_liked(before: Sequence[Token]) -> bool:
    """Whether the words before a title, past a list that it ends with "and", say that the user liked it."""
    listed = False
    for token in reversed(before):
        if token.folded in _LISTING:
            listed = True
        elif not (listed and (token.kind in ("quote", "cite") or token.text in ",，" or _is_name(token))):
            # Chinese has no spaces: the run of characters before the title ends with the word.
            return token.folded in TASTE or token.text.endswith(_CHINESE_TASTE)
    return False


def _is_name(token: Token) -> bool:
    return token.text[0].isupper() and not token.begins_sentence


def _says(text: str, token: Token, problem: str) -> str:
    return f'"{text}" at character {token.start} {problem}'
