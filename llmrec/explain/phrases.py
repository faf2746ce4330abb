"""The sentences of an explanation: fixed words around one of several texts that its evidence holds.

The grammar admits them, and the explainer is fine-tuned on some of them, so that both say the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

from llmrec.explain.evidence import display_title
from llmrec.explain.languages import ATTRIBUTE, ENGLISH, Language, fact_kind
from llmrec.explain.passage import passage
from llmrec.explain.tokens import tokenize
from llmrec.schema import Columns, Evidence, Item

_SHORTEST_QUOTE = 4
_CLAUSE_END = re.compile(r"[,;:.!?…)]$")
_CLAUSE_STARTS = frozenset(
    ("who", "when", "while", "after", "before", "until", "but", "which", "where", "as")
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """Fixed words, one of several texts, fixed words.

    Args:
        before: the sentence up to the choice.
        choices: texts in groups; those of a group begin at the same word.
        after: the rest.
    """

    before: str
    choices: tuple[tuple[str, ...], ...]
    after: str


def openings(item: Item, evidence: Sequence[Evidence], language: Language = ENGLISH) -> list[Sentence]:
    """How an explanation may begin: with the request, the item, and what was liked."""
    title = language.quoted(display_title(item))
    end = language.clauses[1]
    asked = "".join(
        f"{language.asked}{language.quoted(fact.text)} [{fact.number}]{end}{language.gap}"
        for fact in evidence
        if fact.kind == "query"
    )
    likes = [
        f"{language.quoted(fact.title or '')} [{fact.number}]" for fact in evidence if fact.kind == "history"
    ]
    if not likes:
        return [Sentence(asked + language.alone.replace("{}", title), (), "")]
    liked = (tuple(_some(likes, language)),)
    return [
        Sentence(asked + before.replace("{}", title), liked, after.replace("{}", title))
        for before, after in language.openings
    ]


def statements(evidence: Sequence[Evidence], language: Language = ENGLISH) -> list[tuple[Evidence, Sentence]]:
    """What may be said of the item after that, in the order of the facts."""
    return [(fact, sentence) for fact in evidence for sentence in _statement(fact, language)]


def _statement(fact: Evidence, language: Language) -> Iterator[Sentence]:
    kind, cite = fact_kind(fact), f" [{fact.number}]{language.clauses[1]}"
    if kind == "community":
        yield Sentence(fact.text, (), cite)
    elif kind == Columns.CATEGORIES:
        yield Sentence(language.about(fact), (tuple(_some(fact.text.split(", "), language)),), cite)
    elif kind == ATTRIBUTE:
        yield Sentence(language.about(fact) + language.quoted(fact.text), (), cite)
    elif kind in language.says:
        yield Sentence(language.about(fact), _quotations(fact.text, language), cite)


def _quotations(text: str, language: Language) -> tuple[tuple[str, ...], ...]:
    """Quoted parts of a text that start and end where a clause may, grouped by their start."""
    words = text.split()
    starts = [index for index in range(len(words)) if _may_start(words, index)]
    ends = [index for index in range(len(words)) if _may_end(words, index)]
    groups = []
    for start in starts:
        spans = [" ".join(words[start : end + 1]) for end in ends if end >= start + _SHORTEST_QUOTE - 1]
        if start == 0:
            spans = spans or [text]
        elif not spans:
            continue
        groups.append(tuple(language.quoted(span.rstrip(",;:.")) for span in spans))
    return tuple(groups)


def _may_start(words: Sequence[str], index: int) -> bool:
    """Whether a phrase may start there: not at "the" of "by the sea he waits", which needs its "by"."""
    if index == 0 or words[index] not in ("a", "an", "the"):
        return index == 0
    if passage(tokenize(" ".join(words[: index + 1])))[-1].denied is not False:
        return False  # "a bell" of "without a bell" would say the contrary
    before = words[index - 1]
    return bool(_CLAUSE_END.search(before)) or (words[index] != "the" and before != "of")


def _may_end(words: Sequence[str], index: int) -> bool:
    after = words[index + 1] if index + 1 < len(words) else None
    return after is None or bool(_CLAUSE_END.search(words[index])) or after in _CLAUSE_STARTS


def _some(names: Sequence[str], language: Language) -> Iterator[str]:
    """One of the names, or two of them in either order."""
    return (language.series(chosen) for count in (1, 2) for chosen in permutations(names, count))
