"""The explanation that needs no model: the evidence, listed in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from llmrec.explain.evidence import display_title
from llmrec.schema import Columns, Evidence, Item


def write(item: Item, evidence: Sequence[Evidence]) -> str:
    """An explanation that says no more than its evidence, in English; the same for the same evidence.

    >>> from llmrec.explain.evidence import Case, gather
    >>> antz = Item("1", "Antz", categories=("Animation",))
    >>> case = Case(Item("2", "Toy Story", categories=("Animation", "Comedy")), ((antz, 0.7),), {})
    >>> write(case.item, gather(case))
    '"Toy Story" fits your taste: you liked "Antz" [1]; it is listed under Animation, Comedy [2].'
    """
    title = f'"{display_title(item)}"'
    liked = [f'"{fact.title}" [{fact.number}]' for fact in evidence if fact.kind == "history"]
    asked = [f'"{fact.text}" [{fact.number}]' for fact in evidence if fact.kind == "query"]
    about = [f"{said} [{fact.number}]" for fact in evidence if (said := _about(fact))]
    given = [
        f'"{fact.text}" [{fact.number}]' for fact in evidence if fact.kind == "field" and not _about(fact)
    ]
    reasons = [f"you asked for {query}" for query in asked]
    reasons += [f"you liked {_series(liked)}"] if liked else []
    about += [f"it is given as {_series(given)}"] if given else []
    opening = "fits your taste" if liked else "is recommended"
    return f"{title} {opening}: {'; '.join(reasons + about)}."


def _about(fact: Evidence) -> str:
    """The words for a fact that has words of its own."""
    if fact.kind == "community":
        return fact.text[:1].lower() + fact.text[1:]
    if fact.kind == "field" and fact.source == Columns.CATEGORIES:
        return f"it is listed under {fact.text}"
    if fact.kind == "field" and fact.source == Columns.TEXT:
        return f'its description says "{fact.text}"'
    return ""


def _series(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
