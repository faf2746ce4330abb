"""The GBNF grammar of one explanation: it can only name, quote and number what its evidence holds.

A small model writes fluently and invents freely. The grammar leaves it the choice of the opening, of the
items of the history, of the facts and of the words to quote; the verifier then checks what it chose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations

from llmrec.explain.evidence import display_title
from llmrec.schema import Columns, Evidence, Item

_SHORTEST_QUOTE = 4
_CLAUSE_END = re.compile(r"[,;:.!?…)]$")
_CLAUSE_STARTS = frozenset(
    ("who", "when", "while", "after", "before", "until", "but", "which", "where", "as")
)


def build(item: Item, evidence: Sequence[Evidence]) -> str:
    """The grammar of an explanation of ``item`` from ``evidence``, which is not empty."""
    likes = [f'"{fact.title}" [{fact.number}]' for fact in evidence if fact.kind == "history"]
    about = [rule for fact in evidence for rule in _about(fact)]
    parts = [_opening(display_title(item), evidence, bool(likes))]
    parts += [f'(" " {rule})?' for rule, _ in about] if likes else [f'" " {rule}' for rule, _ in about[:2]]
    rules = [f"root ::= {' '.join(parts)}"]
    if likes:
        rules.append(f"likes ::= {_choice(_some(likes))}")
    return "\n".join(rules + [line for _, lines in about for line in lines])


def _opening(title: str, evidence: Sequence[Evidence], likes: bool) -> str:
    asked = "".join(
        f'You asked for "{fact.text}" [{fact.number}]. ' for fact in evidence if fact.kind == "query"
    )
    if not likes:
        return _literal(f'{asked}"{title}" may suit you.')
    because = _literal(f'{asked}You may like "{title}" because you liked ')
    since = _literal(f"{asked}Since you liked ")
    return (
        f"({because} likes {_literal('.')} | {since} likes " + _literal(f', you may enjoy "{title}".') + ")"
    )


def _about(fact: Evidence) -> Iterator[tuple[str, list[str]]]:
    """The rule that states a fact of the item, with the lines that define it."""
    name, cite = f"fact{fact.number}", _literal(f" [{fact.number}].")
    if fact.kind == "community":
        yield name, [f"{name} ::= {_literal(fact.text)} {cite}"]
    elif fact.kind == "field" and fact.source == Columns.CATEGORIES:
        yield (
            name,
            [
                f"{name} ::= {_literal('It is listed under ')} {name}c {cite}",
                f"{name}c ::= {_choice(_some(fact.text.split(', ')))}",
            ],
        )
    elif fact.kind == "field" and fact.source == Columns.TEXT:
        yield name, _quote(name, fact.text, cite)
    elif fact.kind == "field":
        has = _literal(f'It has "{fact.text}"')
        yield name, [f"{name} ::= {has} {cite}"]


def _quote(name: str, text: str, cite: str) -> list[str]:
    """Rules for a quoted part of a text that starts and ends where a clause may."""
    words = text.split()
    ends = [index for index in range(len(words)) if _may_end(words, index)]
    choices, rules = [], []
    for start in (index for index in range(len(words)) if _may_start(words, index)):
        spans = [" ".join(words[start : end + 1]) for end in ends if end >= start + _SHORTEST_QUOTE - 1]
        if start == 0:
            spans = spans or [text]
        elif not spans:
            continue
        choices.append(f"{name}q{start}")
        rules.append(f"{name}q{start} ::= " + _choice('"' + span.rstrip(",;:.") + '"' for span in spans))
    return [f"{name} ::= {_literal('Its description says ')} ({' | '.join(choices)}) {cite}", *rules]


def _may_start(words: Sequence[str], index: int) -> bool:
    """Whether a phrase may start there: not at "the" of "by the sea he waits", which needs its "by"."""
    if index == 0 or words[index] not in ("a", "an", "the"):
        return index == 0
    before = words[index - 1]
    return bool(_CLAUSE_END.search(before)) or (words[index] != "the" and before != "of")


def _may_end(words: Sequence[str], index: int) -> bool:
    after = words[index + 1] if index + 1 < len(words) else None
    return after is None or bool(_CLAUSE_END.search(words[index])) or after in _CLAUSE_STARTS


def _some(names: Sequence[str]) -> Iterable[str]:
    """One of the names, or two of them in either order."""
    return [" and ".join(chosen) for count in (1, 2) for chosen in permutations(names, count)]


def _choice(texts: Iterable[str]) -> str:
    return " | ".join(_literal(text) for text in texts)


def _literal(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
