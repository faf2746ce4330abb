"""What an explanation may draw on: titles of all its evidence, words and phrases of what a claim cites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from llmrec.explain import chinese
from llmrec.explain.evidence import display_title
from llmrec.explain.relations import Fact
from llmrec.explain.words import (
    ASKED,
    GENERAL,
    HEARD,
    MANY,
    SHOWN,
    TASTE,
    WORD,
    contains,
    fold,
    plain,
    plain_quotes,
    stem,
    words,
)
from llmrec.schema import Columns, Evidence, Item


class Sources:
    """The recommended item, the evidence by number, and the numbers that the explanation cites."""

    def __init__(self, item: Item, evidence: Sequence[Evidence], cited: frozenset[int]) -> None:
        self.facts = {fact.number: fact for fact in evidence}
        self.cited = cited
        self.item_title = title_words(display_title(item))
        self.titles: dict[tuple[str, ...], frozenset[int]] = {self.item_title: frozenset()}
        """The numbers that a title may be cited with, by the title's words."""
        for fact in evidence:
            if fact.title is not None:
                title = title_words(fact.title)
                self.titles[title] = self.titles.get(title, frozenset()) | {fact.number}
        self.liked = frozenset(
            title_words(fact.title) for fact in evidence if fact.kind == "history" and fact.title is not None
        )
        """The titles of the user's own items."""

    def support(self, numbers: Iterable[int]) -> Support:
        """What the evidence of these numbers lends to a claim; numbers that do not exist lend nothing."""
        return Support([self.facts[number] for number in sorted(numbers) if number in self.facts])

    def about(self, titles: frozenset[tuple[str, ...]]) -> Support:
        """What is cited of the items of these titles."""
        return self.support(self.cited & frozenset[int]().union(*map(self.titles.__getitem__, titles)))

    @cached_property
    def unasked(self) -> Support:
        """What is cited, but for what the user asked for."""
        return self.support(
            number for number in self.cited & self.facts.keys() if self.facts[number].kind != "query"
        )


class Support:
    """The words and phrases that some evidence lends to a claim."""

    def __init__(self, facts: Sequence[Evidence]) -> None:
        # The title of an item of the history lends no words: it is named whole or not at all.
        texts = [plain_quotes(fact.text).replace(f'"{fact.title}"', " ") for fact in facts]
        self.facts = [Fact(fact, text) for fact, text in zip(facts, texts, strict=True)]
        self.texts = frozenset(texts)
        self.phrases = [words(text) for text in texts]
        self.as_written = frozenset(plain(word) for text in texts for word in WORD.findall(text))
        self._stems = frozenset(stem(word) for phrase in self.phrases for word in phrase)
        self._folded = [fold(text) for text in texts]
        self._written_alone = {word for phrase in self.phrases for word in phrase if len(word) == 1}
        self.general = (GENERAL | chinese.GENERAL).union(*map(_lent, facts))

    def states(self, phrase: tuple[str, ...]) -> bool:
        """Whether these words stand in one of the texts in this order, with nothing between them."""
        return any(contains(phrase, text) for text in self.phrases)

    def grounds(self, word: str) -> bool:
        """Whether a folded word may be used: a general word, or a form of one in the texts."""
        if word in self.general or stem(word) in self._stems:
            return True
        return chinese.is_run(word) and chinese.composed(
            word, self.general | self._written_alone, self._folded
        )

    def core(self, phrase: tuple[str, ...]) -> tuple[str, ...]:
        """A phrase without the general words around it: "the matrix" names what "matrix" does."""
        while phrase and phrase[0] in self.general:
            phrase = phrase[1:]
        while phrase and phrase[-1] in self.general:
            phrase = phrase[:-1]
        return phrase


def _lent(fact: Evidence) -> frozenset[str]:
    """The words about where a fact comes from, in every language."""
    source = fact.source.partition(" ")[0] if fact.kind == "field" else fact.kind
    return {
        "history": TASTE | chinese.TASTE,
        "query": ASKED | chinese.ASKED,
        "community": MANY | chinese.MANY,
        Columns.CAPTION: SHOWN | chinese.SHOWN,
        "ocr": SHOWN | chinese.SHOWN,
        Columns.TRANSCRIPT: HEARD | chinese.HEARD,
    }.get(source, frozenset())


def title_words(title: str) -> tuple[str, ...]:
    """A title's folded words, or the title itself if it has none ("!!!")."""
    return words(title) or (title,)
