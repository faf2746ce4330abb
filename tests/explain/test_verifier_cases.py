"""The verifier on the labelled cases: the targets, and that the cases are what they should be."""

from __future__ import annotations

from collections import Counter

import pytest
from verifier import PARTS, cases, judge, scores

from llmrec.explain.verifier import Verifier
from llmrec.schema import Evidence, Item

CASES = list(cases())


def test_the_cases_are_many_varied_and_half_of_them_wrong() -> None:
    assert len(CASES) >= 300
    wrong = [case for case in CASES if not case.faithful]
    assert 0.45 < len(wrong) / len(CASES) < 0.55
    assert all(bool(case.wrong) != case.faithful for case in CASES)
    assert len({(case.context, case.text) for case in CASES}) == len(CASES)
    assert {case.part for case in CASES} == set(PARTS)
    assert len({case.context for case in CASES}) >= 12
    kinds = Counter(case.kind for case in wrong)
    assert len(kinds) >= 15
    assert min(kinds.values()) >= 4


def test_the_verifier_meets_its_targets() -> None:
    found = scores(judge(CASES))
    assert found["faithful"]["precision"] >= 0.98
    assert found["faithful"]["recall"] >= 0.95
    assert found["unfaithful"]["recall"] >= 0.98
    assert found["unfaithful"]["precision"] >= 0.95


def _evidence(*texts: str) -> list[Evidence]:
    return [
        Evidence(number, "field", text, "text", "1", "Bell") for number, text in enumerate(texts, start=1)
    ]


@pytest.mark.parametrize(
    ("fact", "text", "holds"),
    [
        ("A ship without a bell sails", "It is about a ship without a bell [1].", True),
        ("A ship without a bell sails", "It is about a ship with a bell [1].", False),
        ("A ship without a bell sails", "Its ship has no bell [1].", True),
        ("A ship with a bell sails", "Its ship has no bell [1].", False),
        ("The lamp is free of lead", "It is of lead [1].", False),
        ("The lamp is free of lead", "It is free of lead [1].", True),
        ("A sugar-free drink", "It is a drink with sugar [1].", False),
        ("It has no salt and sugar", "It has sugar [1].", True),  # cannot be told, so it is let pass
        ("Not cheap but light", "It is light [1].", True),
        ("Not cheap but light", "It is cheap [1].", False),
        ("A light lamp", "It is not [1].", False),
        ("Mary doesn't love Paul", "Mary loves Paul [1].", False),
    ],
)
def test_what_is_denied_stays_denied(fact: str, text: str, holds: bool) -> None:
    assert Verifier([]).check(text, Item("1", "Bell"), _evidence(fact)).ok == holds


@pytest.mark.parametrize(
    ("fact", "text", "holds"),
    [
        ("Two dogs chase 21 cats", "It is about 2 dogs and twenty-one cats [1].", True),
        ("Two dogs chase 21 cats", "It is about 21 dogs [1].", False),
        ("Two dogs chase 21 cats", "It is about one dog [1].", False),
        ("It weighs 1,250 g", "It weighs 1250g [1].", True),
        ("It weighs 1,250 g", "It weighs 1.25 g [1].", False),
        ("It costs 129.90", "It costs 129.9 [1].", True),
        ("It costs 129.90", "It costs 129.09 [1].", False),
        ("A dog barks in 1987", "It is about a dog of 1987 [1].", True),
        ("A millionaire walks a mile", "A millionaire walks a million [1].", False),
    ],
)
def test_numbers_are_equal_by_value_and_count_the_same(fact: str, text: str, holds: bool) -> None:
    assert Verifier([]).check(text, Item("1", "Bell"), _evidence(fact)).ok == holds


@pytest.mark.parametrize(
    ("fact", "text", "holds"),
    [
        ("Mary teaches Paul to swim", "Mary teaches Paul [1].", True),
        ("Mary teaches Paul to swim", "Paul teaches Mary [1].", False),
        ("Mary teaches Paul to swim", "Paul is taught by Mary [1].", False),  # "taught" is another word
        ("Paul was hired by Mary", "Mary hired Paul [1].", True),
        ("Paul was hired by Mary", "Paul hired Mary [1].", False),
        ("Mary hired Paul", "Paul was hired by Mary [1].", True),
        ("Mary hired Paul", "Mary was hired by Paul [1].", False),
        ("A dog sleeps under a bed", "Under a bed sleeps a dog [1].", True),
    ],
)
def test_who_does_what_stays_so(fact: str, text: str, holds: bool) -> None:
    assert Verifier([]).check(text, Item("1", "Bell"), _evidence(fact)).ok == holds
