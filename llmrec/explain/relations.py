"""What words say together: what is denied, what is counted, who does what, and whose name it is.

Every word of a claim may be in its evidence, and the claim still say something else. The checks here find
plain cases of that by the order of the words. They understand nothing: a true sentence in an order of its
own may be refused, and an untrue one of a kind that they do not know passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llmrec.explain.passage import Word, denied_by, is_denial, passage
from llmrec.explain.tokens import Token, tokenize
from llmrec.explain.words import denies, number_of, states, stem, words
from llmrec.schema import Columns, Evidence

_AFTER, _BEFORE = 3, 2
"""What a number counts stands at most so many words after it ("3 old friends"), or before ("pages: 384")."""

_TURNS = frozenset(
    (
        *("and", "or", "&", "who", "which", "that", "whose", "by", "of", "has", "have"),
        *("is", "are", "was", "were", "be", "been"),
    )
)
"""Words after which a sentence may turn to what stands earlier in the evidence."""

_PLACES = frozenset(
    ("in", "at", "on", "before", "after", "during", "from", "with", "under", "inside", "within")
)
"""Words that begin what may stand anywhere in a sentence: "in front of a lighthouse stands a girl"."""

_NAMED = frozenset(("is", "was", "are", "by", "the", "a", "an", "named", "called"))
"""Words that may stand between "author" and who that is."""

Problem = tuple[Token, str]
"""A word of a claim, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Said:
    """A word that states something, with the words since the one before that do not."""

    word: Word
    between: tuple[str, ...]

    @property
    def stem(self) -> str:
        """What forms of the word share."""
        return stem(self.word.folded)

    @property
    def number(self) -> str | None:
        """The number that it is."""
        return number_of(self.word.folded)


class Fact:
    """The words of one piece of evidence that state something, in their order.

    Args:
        fact: the evidence.
        text: its text, without titles that lend no words.
    """

    def __init__(self, fact: Evidence, text: str) -> None:
        read = passage(tokenize(text))
        self.said = statements(read)
        name, colon, _ = text.partition(":")
        named = bool(colon) and words(name) == words(fact.source)
        self.attribute = frozenset(map(stem, words(name))) if named else frozenset[str]()
        """Of a fact such as "author: Gwen Parry" the stems of "author"."""
        self.is_list = fact.source == Columns.CATEGORIES
        self.is_sentence = fact.kind == "field" and not named and not self.is_list
        self.names = frozenset(
            word.folded
            for at, word in enumerate(read)
            if self.is_list and denies(word.folded) and not any(denied_by(read, at))
        )
        """Of a list, denying words that are names in it, as a category "No" is."""
        self._places: dict[str, list[int]] = {}
        for place, said in enumerate(self.said):
            self._places.setdefault(said.stem, []).append(place)

    def places(self, said: Said) -> list[int]:
        """Where a word stands among those that state something; empty if it does not."""
        return self._places.get(said.stem, [])

    def has_by(self, start: int, end: int) -> bool:
        """Whether "by" stands between two places."""
        return any("by" in said.between for said in self.said[start + 1 : end + 1])


def statements(text: Sequence[Word]) -> list[Said]:
    """The words that state something: all but general words that are no number, and denials."""
    found: list[Said] = []
    between: list[str] = []
    for word in text:
        if states(word.folded):
            found.append(Said(word, tuple(between)))
            between = []
        else:
            between.append(word.folded)
    return found


def problems(tokens: Sequence[Token], facts: Sequence[Fact]) -> Iterator[Problem]:
    """What the words of a claim say together beyond the facts that it cites."""
    text = passage(tokens)
    said = statements(text)
    yield from _denials(tokens, text, facts)
    yield from _polarities(said, facts)
    for place in range(len(said)):
        yield from _count(said[place:], facts)
    for first, second in pairwise(said):
        if first.word.clause == second.word.clause:
            yield from _name(first, second, facts)
    for fact in facts:
        if fact.is_sentence:
            yield from _turns(said, text, fact)


def _denials(tokens: Sequence[Token], text: Sequence[Word], facts: Sequence[Fact]) -> Iterator[Problem]:
    """Denials of what the evidence does not deny. Words after them are checked one by one."""
    for at, word in enumerate(text):
        if not is_denial(tokens, tokens.index(word.token)):
            continue
        denied = [*denied_by(text, at)]
        named = not denied and any(word.folded in fact.names for fact in facts)
        if not named and not any(True in _denied(Said(other, ()), facts) for other in denied):
            yield word.token, "denies what the evidence that it cites does not"


def _polarities(said: Sequence[Said], facts: Sequence[Fact]) -> Iterator[Problem]:
    for one in said:
        known = _denied(one, facts)
        if known == {not one.word.denied} and one.word.denied is not None:
            yield (
                one.word.token,
                f"is {'not ' if one.word.denied else ''}denied in the evidence that it cites",
            )


def _denied(said: Said, facts: Sequence[Fact]) -> set[bool | None]:
    """Whether the facts deny a word, wherever it stands in them."""
    return {fact.said[place].word.denied for fact in facts for place in fact.places(said)}


def _count(said: Sequence[Said], facts: Sequence[Fact]) -> Iterator[Problem]:
    """The number that ``said`` begins with counts what it counts in the evidence."""
    number = said[0]
    counted = next((one for one in said[1:] if one.number is None), None)
    if number.number is None or counted is None or counted.word.clause != number.word.clause:
        return
    if counted is said[1] and "and" in counted.between:
        return  # two of a list: "listed under 3 and comedy"
    if number.word.folded == "one" and not _counted_otherwise(counted, facts):
        return  # as likely a pronoun
    if _is_year(number.number) and not any(fact.places(number) and fact.places(counted) for fact in facts):
        return
    if any(fact.places(counted) for fact in facts) and not any(
        _near(number, counted, fact) for fact in facts
    ):
        yield number.word.token, f'is not said of "{counted.word.token.text}" in the evidence that it cites'


def _near(number: Said, counted: Said, fact: Fact) -> bool:
    return any(
        -_BEFORE <= there - here <= _AFTER for here in fact.places(number) for there in fact.places(counted)
    )


def _counted_otherwise(counted: Said, facts: Sequence[Fact]) -> bool:
    """Whether another number than one stands before a word."""
    return any(
        one.number not in (None, "1")
        for fact in facts
        for place in fact.places(counted)
        for one in fact.said[max(0, place - _AFTER) : place]
    )


def _is_year(number: str) -> bool:
    return len(number) == 4 and number[:2] in ("18", "19", "20")


def _opening(text: Sequence[Word], word: Word) -> str:
    """The first word of a word's clause."""
    return next(other.folded for other in text if other.clause == word.clause)


def _turns(said: Sequence[Said], text: Sequence[Word], fact: Fact) -> Iterator[Problem]:
    """Neighbouring words stand in the order of a sentence that has both, or turn where a sentence may.

    Who does something and to whom it is done change places by "by": "found by a dog", "a dog found".
    """
    active: int | None = None
    for first, second in pairwise(said):
        clause, between = second.word.clause, second.between
        here, there = fact.places(first), fact.places(second)
        if first.word.clause != clause or not (here and there):
            continue
        ahead = [(one, two) for one in here for two in there if one < two <= one + _AFTER]
        by = "by" in between
        if ahead and (by or not between) and all(fact.has_by(*pair) != by for pair in ahead):
            yield (
                second.word.token,
                f'is the other part of "{first.word.token.text}" in the evidence that it cites',
            )
        if max(there) > min(here) or (_TURNS | _PLACES).intersection(between) or active == clause:
            continue
        if fact.has_by(max(there), min(here)):
            active = clause
        elif _opening(text, first.word) not in _PLACES:
            yield second.word.token, f'stands before "{first.word.token.text}" in the evidence that it cites'


def _name(first: Said, second: Said, facts: Sequence[Fact]) -> Iterator[Problem]:
    """A name belongs to what it stands beside: the author's to "author", a person's to what they do."""
    if any(fact.places(first) and fact.places(second) for fact in facts):
        return
    between = set(second.between)
    for attribute, name, near in (
        (first, second, between <= _NAMED),
        (second, first, bool(between & {"is", "was"}) and between <= _NAMED),
    ):
        if near and _is_name(name) and any(attribute.stem in fact.attribute for fact in facts):
            yield name.word.token, f'is not the "{attribute.word.token.text}" of the evidence that it cites'
    told = any(fact.is_sentence and fact.places(first) for fact in facts)
    listed = any(fact.is_list and fact.places(second) for fact in facts)
    if told and not between and _is_name(second) and not listed:
        yield second.word.token, f'does not belong to "{first.word.token.text}" in the evidence that it cites'


def _is_name(said: Said) -> bool:
    token = said.word.token
    return token.text[0].isupper() and not (token.begins_sentence and said.between == ())
