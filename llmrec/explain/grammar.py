"""The GBNF grammar of one explanation: it can only name, quote and number what its evidence holds.

A small model writes fluently and invents freely. The grammar leaves it the choice of the opening, of the
items of the history, of the facts and of the words to quote; the verifier then checks what it chose.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llmrec.explain.languages import ENGLISH, Language
from llmrec.explain.phrases import Sentence, openings, statements
from llmrec.schema import Evidence, Item


def build(item: Item, evidence: Sequence[Evidence], language: Language = ENGLISH) -> str:
    """The grammar of an explanation of ``item`` from ``evidence``, which is not empty."""
    begins = openings(item, evidence, language)
    likes = begins[0].choices
    facts = [(f"fact{fact.number}", sentence) for fact, sentence in statements(evidence, language)]
    begin = " | ".join(f"{_literal(one.before)} likes {_literal(one.after)}" for one in begins)
    parts = [f"({begin})" if likes else _literal(begins[0].before)]
    said = [f"{_literal(language.gap)} {name}" for name, _ in facts]
    parts += [f"({one})?" for one in said] if likes else said[:2]
    rules = [f"root ::= {' '.join(parts)}"]
    rules += _chosen("likes", likes) if likes else []
    return "\n".join(rules + [rule for name, sentence in facts for rule in _rules(name, sentence)])


def _rules(name: str, sentence: Sentence) -> list[str]:
    """The rule of a sentence, with those of its choice."""
    if not sentence.choices:
        return [f"{name} ::= {_literal(sentence.before)} {_literal(sentence.after)}"]
    rule = f"{name} ::= {_literal(sentence.before)} {name}c {_literal(sentence.after)}"
    return [rule, *_chosen(f"{name}c", sentence.choices)]


def _chosen(name: str, groups: Sequence[Iterable[str]]) -> list[str]:
    """The rule of one of the texts, by way of a rule for each group."""
    if len(groups) == 1:
        return [f"{name} ::= {_choice(groups[0])}"]
    names = [f"{name}q{number}" for number in range(len(groups))]
    rules = [f"{one} ::= {_choice(group)}" for one, group in zip(names, groups, strict=True)]
    return [f"{name} ::= {' | '.join(names)}", *rules]


def _choice(texts: Iterable[str]) -> str:
    return " | ".join(_literal(text) for text in texts)


def _literal(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
