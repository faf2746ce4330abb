"""The explanation that needs no model: the evidence, listed in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from llmrec.explain.evidence import display_title
from llmrec.explain.languages import ATTRIBUTE, ENGLISH, Language, fact_kind
from llmrec.schema import Columns, Evidence, Item


def write(item: Item, evidence: Sequence[Evidence], language: Language = ENGLISH) -> str:
    """An explanation that says no more than its evidence; the same for the same evidence.

    >>> from llmrec.explain.evidence import Case, gather
    >>> antz = Item("1", "Antz", categories=("Animation",))
    >>> case = Case(Item("2", "Toy Story", categories=("Animation", "Comedy")), ((antz, 0.7),), {})
    >>> write(case.item, gather(case))
    '"Toy Story" fits your taste: you liked "Antz" [1]; it is listed under Animation, Comedy [2].'
    """
    asked = [_cited(language.quoted(fact.text), fact) for fact in evidence if fact.kind == "query"]
    liked = [_cited(language.quoted(fact.title or ""), fact) for fact in evidence if fact.kind == "history"]
    given = [_cited(language.quoted(fact.text), fact) for fact in evidence if fact_kind(fact) == ATTRIBUTE]
    clauses = [f"{language.asked}{query}" for query in asked]
    clauses += [f"{language.likes}{language.series(liked)}"] if liked else []
    clauses += [_cited(said, fact) for fact in evidence if (said := _about(fact, language))]
    clauses += [f"{language.given}{language.series(given)}"] if given else []
    opening = language.fits if liked else language.recommended
    between, end = language.clauses
    title = language.quoted(display_title(item))
    return opening.replace("{}", title) + between.join(map(_inside, clauses)) + end


def _about(fact: Evidence, language: Language) -> str:
    """The clause for what others chose or a fact of the item, but for attributes, which are listed."""
    kind = fact_kind(fact)
    if kind == "community":
        return fact.text
    if kind not in language.says or kind == ATTRIBUTE:
        return ""
    text = fact.text if kind == Columns.CATEGORIES else language.quoted(fact.text)
    return language.about(fact) + text


def _cited(text: str, fact: Evidence) -> str:
    return f"{text} [{fact.number}]"


def _inside(clause: str) -> str:
    """A clause as it stands inside a sentence."""
    return clause[:1].lower() + clause[1:]
