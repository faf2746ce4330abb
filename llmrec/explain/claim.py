"""The check of one claim of an explanation against the evidence that it cites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmrec.explain import chinese
from llmrec.explain.mentions import LISTING, Mention, Title, is_name, mentions
from llmrec.explain.relations import problems
from llmrec.explain.sources import Sources, Support
from llmrec.explain.titles import TitleIndex
from llmrec.explain.tokens import Claim, Token
from llmrec.explain.words import ASKED, TASTE, denies, plain, words

_VERBS = frozenset(
    (
        *("is", "was", "has", "may", "might", "could", "should", "would", "will"),
        *("fits", "matches", "suits", "shares", "seems"),
    )
)
"""Words that make a title before them the beginning of a sentence, and not the end of a list."""

_LAST_LISTED = LISTING - {",", "，"} | {"both"}
"""What stands before the last title of a list."""

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
        self.named = list(mentions(claim, self.support, sources))
        """The items that the claim names."""
        self._titled = {index for mention in self.named for index in range(mention.start, mention.end)}

    def reasons(self, about: Sequence[frozenset[Title] | None]) -> Iterator[str]:
        """What is wrong with the claim, with the character where it stands; nothing if it holds.

        Args:
            about: the titles of the items that each token is said of; see :class:`Subjects`.
        """
        tokens = self.claim.tokens
        run: list[int] = []
        for index, token in enumerate(tokens):
            if token.kind == "word":
                run.append(index)
            elif token.kind in ("quote", "cite"):
                yield from self._check_words(run, about)
                run = []
            if token.kind == "quote" and index not in self._titled:
                yield from self._check_quote(token, about[index])
        yield from self._check_words(run, about)
        for mention in self.named:
            yield from self._check_title(mention)
        yield from self._check_taste(about)
        for place, problem in problems(self._untitled(), self.support.facts):
            yield _says(place.text, place, problem)

    def _check_quote(self, token: Token, about: frozenset[Title] | None) -> Iterator[str]:
        phrase = words(token.text)
        if token.text not in self.support.texts:
            if not (phrase and self.support.states(phrase)):
                yield _says(token.text, token, "is not in the evidence that it cites")
            elif token.text[0].isupper() and phrase in self.catalog:
                yield _says(token.text, token, "is a title that the evidence does not name")
        other = self._others(about)
        if other is not None and phrase and not other.states(phrase):
            yield _says(token.text, token, "is not said of the item before it")

    def _check_words(self, run: Sequence[int], about: Sequence[frozenset[Title] | None]) -> Iterator[str]:
        """Check words between quotations and citations: the titles among them, then each word."""
        tokens = self.claim.tokens
        text = tuple(tokens[index].folded for index in run)
        for start, end in self.catalog.find(text):
            core = self.support.core(text[start:end])
            if not core or self.support.states(core) or self._titled.intersection(run[start:end]):
                continue
            if end - start > 1 or is_name(tokens[run[start]]):
                title = " ".join(text[start:end])
                yield _says(title, tokens[run[start]], "is a title that the evidence does not name")
        for index in run:
            token, other = tokens[index], self._others(about[index])
            if index in self._titled or denies(token.folded):
                continue
            if not self.support.grounds(token.folded):
                yield _says(token.text, token, "is not in the evidence that it cites")
            elif is_name(token) and plain(token.text) not in self.support.as_written:
                yield _says(token.text, token, "is a name that is not in the evidence that it cites")
            elif other is not None and not other.grounds(token.folded):
                yield _says(token.text, token, "is not said of the item before it")

    def _others(self, about: frozenset[Title] | None) -> Support | None:
        """What may be said of the items that a word is said of; None where that is no narrower than cited."""
        if about is None:
            return None
        if self.sources.item_title not in about:
            return self.sources.about(about)
        asked = any(
            token.folded in ASKED or chinese.says(token.folded, chinese.ASKED) for token in self.claim.tokens
        )
        return None if asked else self.sources.unasked

    def _check_title(self, mention: Mention) -> Iterator[str]:
        """Check that a named title is cited with a number of its own, and not called liked if it was not."""
        tokens, allowed = self.claim.tokens, self.sources.titles[mention.title]
        first, name = tokens[mention.start], " ".join(mention.title)
        after = tokens[mention.end] if mention.end < len(tokens) else None
        if after is not None and after.kind == "cite" and not self.claim.numbers & allowed:
            yield _says(name, first, f"is cited with {after.text}, which is not about it")
        elif mention.title != self.sources.item_title and not self.sources.cited & allowed:
            yield _says(name, first, "is named without its citation")
        begins_clause = after is not None and after.folded in _VERBS
        if (
            mention.title not in self.sources.liked
            and not begins_clause
            and _called_liked((*self.claim.before, *tokens[: mention.start]))
        ):
            yield _says(name, first, "is not an item that the user liked")

    def _check_taste(self, about: Sequence[frozenset[Title] | None]) -> Iterator[str]:
        """Check that no other words call the recommended item liked: "you liked it", "which you liked"."""
        text = self.claim.tokens
        for index, token in enumerate(text):
            if chinese.calls_liked(token.folded) and index not in self._titled and token.kind == "word":
                yield _says(token.text, token, "is not true of the recommended item")
            if token.folded not in TASTE or index in self._titled:
                continue
            item = frozenset((self.sources.item_title,))
            after = text[index + 1].folded if index + 1 < len(text) else ""
            before = [token.folded for token in text[max(0, index - 2) : index]]
            which = before[0] in ("which", "that") and before[1] == "you" if len(before) == 2 else False
            itself = after in ("it", "this") and not self.support.states((token.folded, after))
            if itself or (which and index > 2 and about[index - 3] == item):
                yield _says(token.text, token, "is not true of the recommended item")

    def _untitled(self) -> list[Token]:
        """The tokens, each title as one that ends a clause."""
        return [
            Token("quote", token.text, token.start, token.begins_sentence) if index in self._titled else token
            for index, token in enumerate(self.claim.tokens)
        ]


def _called_liked(before: Sequence[Token]) -> bool:
    """Whether the words before a title, past a list that it ends with "and", say that the user liked it."""
    listed = False
    for token in reversed(before):
        if token.folded in _LAST_LISTED:
            listed = True
        elif not (listed and (token.kind in ("quote", "cite") or token.text in ",，" or is_name(token))):
            # Chinese has no spaces: the run of characters before the title ends with the word.
            return token.folded in TASTE or token.text.endswith(_CHINESE_TASTE)
    return False


def _says(text: str, token: Token, problem: str) -> str:
    return f'"{text}" at character {token.start} {problem}'
