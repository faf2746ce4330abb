"""Whatever the grammar lets a model write passes the verifier."""

from __future__ import annotations

import random

from hypothesis import given, settings, strategies as st

from llmrec.explain.evidence import Case, gather
from llmrec.explain.grammar import build
from llmrec.explain.languages import LANGUAGES, Language
from llmrec.explain.verifier import Verifier
from llmrec.schema import Item
from tests.explain.catalog import ANTZ, CASE, TITLES, TOYS
from tests.explain.gbnf import produce
from tests.explain.strategies import cases


def test_every_text_of_a_plain_case_verifies() -> None:
    evidence, chance = gather(CASE), random.Random(0)
    grammar, verifier = build(TOYS, evidence), Verifier(TITLES)
    found = {produce(grammar, chance.randrange) for _ in range(2000)}
    assert len(found) > 300
    for text in found:
        assert verifier.check(text, TOYS, evidence).reasons == ()
    assert (
        'You asked for "funny film with a dinosaur" [1]. You may like "Toy Story" because you liked '
        '"Antz" [3]. Its description says "a new spaceman named Buzz Lightyear arrives" [5].'
    ) in found


def test_a_case_without_history_states_facts_of_the_item() -> None:
    item = Item("1", "Toy Story", categories=("Comedy",))
    grammar = build(item, gather(Case(item, (), {"popularity": 1.0})))
    assert produce(grammar, lambda count: 0) == (
        '"Toy Story" may suit you. It is popular with other users [1]. It is listed under Comedy [2].'
    )


def test_a_category_that_is_a_number_counts_nothing() -> None:
    item = Item("1", "", categories=("3", "tales of the second world war", "comedy"))
    evidence, chance = gather(Case(item, (), {})), random.Random(0)
    found = {produce(build(item, evidence), chance.randrange) for _ in range(200)}
    assert '"1" may suit you. It is listed under 3 and comedy [1].' in found
    assert [text for text in found if Verifier([]).check(text, item, evidence).reasons] == []


def test_quotations_start_and_end_where_a_clause_may() -> None:
    item = Item(
        "1", "Alien", "In space, a crew of seven answers a call, but nobody waits for the crew there."
    )
    evidence, chance = gather(Case(item, ((ANTZ, 1.0),), {})), random.Random(0)
    found = {produce(build(item, evidence), chance.randrange).partition("says ")[2] for _ in range(500)}
    assert found == {
        "",
        '"In space, a crew of seven answers a call" [2].',
        '"In space, a crew of seven answers a call, but nobody waits for the crew there" [2].',
        '"a crew of seven answers a call" [2].',
        '"a crew of seven answers a call, but nobody waits for the crew there" [2].',
        '"a call, but nobody waits for the crew there" [2].',
    }


@settings(max_examples=100, deadline=None)
@given(cases(), st.randoms(use_true_random=False), st.sampled_from([*LANGUAGES.values()]))
def test_any_text_of_any_case_is_well_formed(case: Case, chance: random.Random, language: Language) -> None:
    evidence = gather(case, language)
    text = produce(build(case.item, evidence, language), chance.randrange)
    reasons = Verifier([]).check(text, case.item, evidence).reasons
    assert reasons == ()
