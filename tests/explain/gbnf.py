"""Texts that a grammar can produce, for the part of GBNF that llmrec writes (no ranges or loops)."""

from __future__ import annotations

import re
from collections.abc import Callable

_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[a-z][a-z0-9]*|[()|?])')


def produce(grammar: str, choose: Callable[[int], int]) -> str:
    """One text of a grammar; ``choose(n)`` picks one of n alternatives, from 0."""
    rules = {}
    for line in grammar.split("\n"):
        name, arrow, body = line.partition(" ::= ")
        assert arrow, f"not a rule: {line}"
        assert name not in rules, f"defined twice: {name}"
        rules[name] = body
    return _Producer(rules, choose).rule("root")


class _Producer:
    def __init__(self, rules: dict[str, str], choose: Callable[[int], int]) -> None:
        self.rules = rules
        self.choose = choose

    def rule(self, name: str) -> str:
        body = self.rules[name]
        tokens = _TOKEN.findall(body)
        assert "".join(_TOKEN.split(body)[::2]).strip() == "", f"malformed: {body}"
        tree, rest = _alternatives(tokens)
        assert not rest, f"unbalanced: {body}"
        return self.pick(tree)

    def pick(self, alternatives: list[list[object]]) -> str:
        return "".join(map(self.item, alternatives[self.choose(len(alternatives))]))

    def item(self, item: object) -> str:
        if isinstance(item, list):
            return self.pick(item)
        assert isinstance(item, str)
        return re.sub(r"\\(.)", r"\1", item[1:-1]) if item.startswith('"') else self.rule(item)


def _alternatives(tokens: list[str]) -> tuple[list[list[object]], list[str]]:
    found: list[list[object]] = [[]]
    while tokens:
        token, *tokens = tokens
        if token == ")":
            return found, tokens
        if token == "|":
            found.append([])
        elif token == "?":
            found[-1][-1] = [[found[-1][-1]], []]
        elif token == "(":
            group, tokens = _alternatives(tokens)
            found[-1].append(group)
        else:
            found[-1].append(token)
    return found, tokens
