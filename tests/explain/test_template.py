"""The template says what the evidence holds, whatever the evidence is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from llmrec.explain.evidence import Case, gather
from llmrec.explain.languages import CHINESE, LANGUAGES, Language
from llmrec.explain.template import write
from llmrec.explain.verifier import Verifier
from llmrec.schema import Item
from tests.explain.catalog import ANTZ, BUGS, CASE, TITLES, TOYS
from tests.explain.strategies import cases, texts

CASES = {
    "everything": (
        CASE,
        '"Toy Story" fits your taste: you asked for "funny film with a dinosaur" [1]; you liked '
        '"A Bug\'s Life" [2] and "Antz" [3]; it is listed under Animation, Comedy, Fantasy [4]; its '
        'description says "A cowboy doll is threatened by 3 old friends when a new spaceman named Buzz '
        'Lightyear arrives" [5]; it is given as "director: John Lasseter" [6].',
    ),
    "query only": (
        Case(replace(TOYS, text=""), (), {}, "a dinosaur"),
        '"Toy Story" is recommended: you asked for "a dinosaur" [1]; it is listed under Animation, Comedy, '
        "Fantasy [2].",
    ),
    "likes only": (
        Case(Item("9", "Babe"), ((BUGS, 1.0), (ANTZ, 0.5), (TOYS, 0.1)), {}),
        '"Babe" fits your taste: you liked "A Bug\'s Life" [1], "Antz" [2] and "Toy Story" [3].',
    ),
    "harmful history only": (
        Case(Item("9", "Babe"), ((BUGS, -1.0),), {}),
        '"Babe" is recommended: it is given as "Babe" [1].',
    ),
    "popularity only": (
        Case(Item("9", "Babe"), (), {"popularity": 1.0}),
        '"Babe" is recommended: it is popular with other users [1].',
    ),
    "no title": (Case(Item("sku-9"), (), {}), '"sku-9" is recommended: it is given as "sku-9" [1].'),
}


@pytest.mark.parametrize(("case", "expected"), CASES.values(), ids=CASES)
def test_says_what_is_known(case: Case, expected: str) -> None:
    evidence = gather(case)
    assert write(case.item, evidence) == expected
    assert Verifier(TITLES).check(expected, case.item, evidence).reasons == ()


def test_long_titles_are_cut() -> None:
    case = Case(Item("1", "Very " * 100 + "long"), ((Item("2", "Quite " * 100 + "long"), 1.0),), {})
    text = write(case.item, gather(case))
    assert len(text) < 250
    assert Verifier([]).check(text, case.item, gather(case)).ok


def test_says_in_chinese_what_it_says_in_english() -> None:
    evidence = gather(replace(CASE, together={"4": "itemknn"}), CHINESE)
    text = write(TOYS, evidence, CHINESE)
    assert text == (
        "“Toy Story”合你的口味：你想找“funny film with a dinosaur” [1]；"
        "你喜欢过“A Bug's Life” [2]和“Antz” [3]；选择了“Antz”的人也选择了它 [4]；"
        "它属于Animation, Comedy, Fantasy [5]；它的介绍说“A cowboy doll is threatened by 3 old friends when "
        "a new spaceman named Buzz Lightyear arrives” [6]；它的信息有“director: John Lasseter” [7]。"
    )
    assert Verifier(TITLES).check(text, TOYS, evidence).reasons == ()


def test_a_category_that_is_a_denying_word_verifies() -> None:
    item = Item("1", "Chess", categories=("NO", "Board games"))
    evidence = gather(Case(item, (), {}))
    assert Verifier([]).check(write(item, evidence), item, evidence).reasons == ()
    assert not Verifier([]).check("It is listed under no Board games [1].", item, evidence).ok


@settings(max_examples=100, deadline=None)
@given(cases(), st.lists(texts, max_size=3), st.sampled_from([*LANGUAGES.values()]))
def test_always_verifies(case: Case, others: list[str], language: Language) -> None:
    evidence = gather(case, language)
    titles = [*TITLES, *others, case.item.title, *(item.title for item, _ in case.history)]
    text = write(case.item, evidence, language)
    verdict = Verifier(titles).check(text, case.item, evidence)
    assert verdict.reasons == ()
    assert verdict.cited == tuple(fact.number for fact in evidence)
