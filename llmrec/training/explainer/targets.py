"""What the explainer should write: sentences of the templates, chosen by what the evidence says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmrec.explain.languages import ATTRIBUTE, ENGLISH, Language, fact_kind
from llmrec.explain.phrases import Sentence, openings, statements
from llmrec.schema import MEDIA_KINDS, Columns, Evidence, Item

_STATEMENTS = 2
"""Sentences after the opening: the prompt asks for two or three in all."""
_SHORTEST = 5
"""Words of a quotation, where a clause of so many ends."""


def target(
    item: Item,
    evidence: Sequence[Evidence],
    choose: Callable[[int], int],
    language: Language = ENGLISH,
) -> str:
    """An explanation of ``item`` that the grammar admits; the same for the same evidence but for its opening.

    It cites the two strongest items of the history, and then what the item shares with them (an attribute,
    categories) and the beginning of its description.

    Args:
        item: the recommended one.
        evidence: numbered, not empty.
        choose: ``choose(n)`` picks one of n openings, from 0.
        language: of the evidence.
    """
    begins = openings(item, evidence, language)
    opening = begins[choose(len(begins))]
    facts = statements(evidence, language)
    if opening.choices:
        kept = sorted(facts, key=lambda stated: _worth(stated[0]))[:_STATEMENTS]
        facts = [stated for stated in facts if stated in kept]
    liked = [fact for fact in evidence if fact.kind == "history"]
    parts = [_said(opening, len(liked) if len(liked) > 1 else 0)]
    parts += [
        _said(sentence, _choice(fact, sentence, liked, language)) for fact, sentence in facts[:_STATEMENTS]
    ]
    return language.gap.join(parts)


def _worth(fact: Evidence) -> int:
    """What tells most of why comes first: an attribute that is shared, then the text."""
    return {ATTRIBUTE: 0, Columns.TEXT: 1, Columns.CATEGORIES: 2}.get(fact_kind(fact), 3)


def _choice(fact: Evidence, sentence: Sentence, liked: Sequence[Evidence], language: Language) -> int:
    """Which text of a sentence: the clause that a description begins with, the categories that are shared."""
    kind = fact_kind(fact)
    if kind in (Columns.TEXT, *MEDIA_KINDS):
        spans = sentence.choices[0]
        long = (at for at, span in enumerate(spans) if len(span.split()) >= _SHORTEST)
        return next(long, len(spans) - 1)
    if kind == Columns.CATEGORIES:
        names = fact.text.split(", ")
        shared = [name for name in names if any(name in other.text for other in liked)]
        return sentence.choices[0].index(language.series((shared or names)[:2]))
    return 0


def _said(sentence: Sentence, choice: int) -> str:
    """The sentence with one of the texts of its first group."""
    text = sentence.choices[0][choice] if sentence.choices else ""
    return sentence.before + text + sentence.after
