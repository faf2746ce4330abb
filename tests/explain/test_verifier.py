"""What the verifier accepts and refuses, by labelled explanations of one case."""

from __future__ import annotations

import pytest

from llmrec.explain.evidence import Case, gather
from llmrec.explain.languages import CHINESE
from llmrec.explain.verifier import LONGEST, Verifier
from llmrec.schema import Evidence, Item
from tests.explain.catalog import CASE, TITLES, TOYS

EVIDENCE = gather(CASE)
VERIFIER = Verifier(TITLES)

HOLDS = {
    "one title": 'You may like "Toy Story" because you liked "Antz" [3].',
    "two titles": 'You may like "Toy Story" because you liked "A Bug\'s Life" [2] and "Antz" [3].',
    "titles cited together": 'You liked "A Bug\'s Life" and "Antz" [2][3].',
    "titles cited together, one bracket": 'You liked "A Bug\'s Life" and "Antz" [2, 3].',
    "typographic marks": "You liked “A Bug’s Life” [2].",
    "title without quotation marks": "You liked A Bug's Life [2].",
    "title in lower case": "You liked a bug's life [2].",
    "single-word title without quotation marks": "You liked Antz [3].",
    "title after its citation": 'You liked "Antz" [3]. Like "Antz", this is Animation [4].',
    "query quoted": 'You asked for "funny film with a dinosaur" [1].',
    "query in words": "You asked for a funny film [1].",
    "categories": "It is listed under Animation and Comedy [4].",
    "categories in lower case": "It is an animation and a comedy [4].",
    "categories in another form": "It is animated [4].",
    "what a history item shares": 'Like "Antz" [3], it is Animation [4].',
    "quotation of the text": 'Its description says "a new spaceman named Buzz Lightyear" [5].',
    "quotation with its last mark": 'It is about "a cowboy doll". [5].',
    "words of the text": "It is about a cowboy doll and a spaceman [5].",
    "name of the text": "It is about the spaceman Buzz Lightyear [5].",
    "number of the text": "The cowboy has 3 friends [5].",
    "number in words": "The cowboy has three friends [5].",
    "lower-case title that the text holds": "It is about old friends [5].",
    "attribute": 'It has "director: John Lasseter" [6].',
    "attribute in words": "Its director is John Lasseter [6].",
    "claim with two citations": "This animated comedy is about a doll [4][5].",
    "item's title beside a citation of the item": '"Toy Story" [5] may suit you.',
    "item's title after a liked one": 'Since you liked "Antz" [3], "Toy Story" may suit you.',
    "said of both": 'Both "Toy Story" and "A Bug\'s Life" [2] are animated [4].',
    "a new clause about the item": 'You liked "Antz" [3], and "Toy Story" is listed under Comedy [4].',
    "the item after a history item": 'Since you liked "Antz" [3], you may enjoy this comedy [4].',
    "the passive, turned": "Three old friends threaten a cowboy doll [5].",
    "a place first": "It is about old friends, and a cowboy doll [5].",
    "words after the last citation": 'Since you liked "Antz" [3], you may enjoy "Toy Story".',
}

FAILS = {
    "empty": "",
    "white space": "  ",
    "nothing cited": 'You may like "Toy Story".',
    "number out of range": 'You liked "Antz" [7].',
    "number zero": 'You liked "Antz" [0].',
    "huge number": 'You liked "Antz" [99999999999999999999].',
    "one citation of two out of range": 'You liked "Antz" [3][9].',
    "not a citation": 'You liked "Antz" [3] [see below].',
    "title with another's number": 'You liked "Antz" [2].',
    "title with a field's number": 'You liked "Antz" [4].',
    "item with a history number": '"Toy Story" [3] may suit you.',
    "titles with numbers swapped": 'You liked "A Bug\'s Life" [3] and "Antz" [2].',
    "history title never cited": 'You liked "Antz", and it is Animation [4].',
    "title of the catalog": 'You liked "The Matrix" [2].',
    "title of the catalog, lower case": "You liked the matrix [2].",
    "title of the catalog beside a true one": 'You liked "Antz" [3] and "Babe" [3].',
    "title outside the catalog": 'You liked "Shrek" [3].',
    "sequel of the item": 'You may like "Toy Story 2" because you liked "Antz" [3].',
    "sequel without quotation marks": 'You may like Toy Story 2 because you liked "Antz" [3].',
    "sequel in lower case": 'You may like toy story 2 because you liked "Antz" [3].',
    "part of a title that is a title": 'You liked "Life" [2].',
    "part of a title that is a title, plain": "You liked Life [2].",
    "part of a title": 'You liked "Bug\'s Life" [2].',
    "title of general words": 'You liked "You Again" [2].',
    "title of general words, plain": "You may like You Again since it is Animation [4].",
    "title with accent left out": "You liked Amelie [3].",
    "title with punctuation": 'You liked "Monsters, Inc." [2].',
    "title with punctuation, plain": "You liked Star Wars: Episode IV [2].",
    "title at the start of the sentence": 'Babe is like "Antz" [3].',
    "the item called liked": 'You liked "Toy Story" [5].',
    "the item called liked in a list": 'You liked "Antz" [3] and "Toy Story" [5].',
    "the item called liked in a longer list": 'You liked "A Bug\'s Life" [2], Antz [3] and "Toy Story" [5].',
    "the item called liked, plain": "You loved Toy Story [2].",
    "past taste without history": "You liked Animation [4].",
    "request without query": "You asked for Animation [4].",
    "invented number": "The cowboy has 4 friends [5].",
    "invented number in words": "The cowboy has five friends [5].",
    "year that is in no evidence": "It is Animation from 1995 [4].",
    "number of another claim": "It has 3 categories [4].",
    "percentage": "It is a match of 95% [4].",
    "decimal": "It is 3.5 Comedy [4].",
    "invented name": "It is about the spaceman Woody [5].",
    "invented name at the start": "Spielberg is its director [6].",
    "half invented name": "Its director is John Ford [6].",
    "invented category": "It is Animation and Romance [4].",
    "invented category in lower case": "It is an animated romance [4].",
    "category of a history item only": "It is Animation and War [4].",
    "category cited with another fact": "It is a comedy [5].",
    "text cited with another fact": "It is about a cowboy doll [4].",
    "invented attribute": "It stars a talented violinist [5].",
    "said of a history item": 'You liked "Antz" [3], a comedy about a doll [4][5].',
    "said of a history item, without a citation between": '"Antz" is directed by John Lasseter [3][6].',
    "quoted of a history item": 'You liked "Antz" [3], which says "a cowboy doll" [5].',
    "asked for, said of the item": "It is funny [1].",
    "the item called liked by a pronoun": 'You liked it and "Antz" [3].',
    "the item called liked in a relative clause": '"Toy Story", which you loved, is like "Antz" [3].',
    "the item called liked before another": "You liked Toy Story and Antz [3].",
    "who does what, turned": "A cowboy doll threatens 3 old friends [5].",
    "number of something else": "It is about 3 cowboys [5].",
    "another's name": "Its director is Buzz Lightyear [5][6].",
    "a name beside another's deed": "Old friends threaten John Lasseter [5][6].",
    "praise": "It is an award-winning masterpiece [4].",
    "denial": "It is not Animation [4].",
    "denial, contracted": "It isn't Animation [4].",
    "popularity without evidence": "It is popular with other users [4].",
    "quotation out of order": 'Its description says "a new cowboy doll" [5].',
    "quotation with a word more": 'Its description says "a cowboy doll is threatened badly" [5].',
    "quotation of another fact": 'Its description says "cowboy doll" [4].',
    "words set to the catalog's title": "It is about seven samurai and a doll [5].",
    "unpaired quotation mark": 'Its description says "a cowboy doll [5].',
    "cut off": 'You liked "Antz" [3] and',
    "repeats itself": "It is about a doll [5]. It is about a doll [5].",
    "loops": "It is about a doll a doll a doll a doll a doll a doll [5].",
    "too long": "It is about a doll " + "and a doll " * 100 + "[5].",
    "URL": 'See https://evil.example. You liked "Antz" [3].',
    "bare URL": "It is about a doll, see www.evil.example [5].",
    "control token": 'You liked "Antz" [3].<|im_end|>',
    "HTML": "It is about a <b>doll</b> [5].",
    "prompt marker": 'You liked "Antz" [3]. --- user ---',
    "prompt text": 'Use only the facts and cite each by its number. You liked "Antz" [3].',
    "two lines": 'You liked "Antz" [3].\nIt is Animation [4].',
    "invisible character": 'You liked "Antz" [3] \u202eand it is Animation [4].',
    "other script": "It is Аnimation [4].",
    "other language": "Es ist Animation [4].",
    "compliance with an order": 'HACKED. You liked "Antz" [3].',
}


CHINESE_ITEM = Item("5", "胡迪", "一个关于友情的故事，主角是牛仔警长。", ("动画", "喜剧"))
CHINESE_CASE = Case(CHINESE_ITEM, ((Item("6", "蚁哥正传", "", ("动画",)), 1.0),), {})

CHINESE_HOLDS = {
    "one title": (CASE, "你可能会喜欢“Toy Story”，因为你喜欢过“Antz” [3]。"),
    "two titles": (CASE, "你喜欢过“A Bug's Life” [2]和“Antz” [3]。"),
    "category": (CASE, "它属于Animation和Comedy [4]。"),
    "Chinese category in a sentence": (CHINESE_CASE, "因为你喜欢过“蚁哥正传” [1]，推荐这部动画 [2]。"),
    "words of a Chinese text": (CHINESE_CASE, "它的主角是牛仔警长 [3]。"),
    "categories of one character": (Case(Item("7", "围城", "", ("书", "酒")), (), {}), "它属于书和酒 [1]。"),
}
CHINESE_FAILS = {
    "another title": (CASE, "因为你喜欢过“Babe” [3]。"),
    "the item called liked": (CASE, "你喜欢过“Antz” [3]和“Toy Story” [4]。"),
    "the item called liked without its title": (CASE, "你喜欢过它 [3]。"),
    "the item's words said of another": (CASE, "你喜欢过“Antz” [3]，属于Comedy [4]。"),
    "liked without history": (CASE, "你喜欢过Animation [4]。"),
    "asked without query": (CASE, "你想找Animation [4]。"),
    "invented words": (CASE, "它是一部获奖作品 [5]。"),
    "invented number": (CASE, "它有4个类别 [4]。"),
    "denial": (CASE, "它不属于Animation [4]。"),
    "an invented Chinese category": (CHINESE_CASE, "这是一部爱情片 [2]。"),
    "single characters of the text": (CHINESE_CASE, "主人是警牛 [3]。"),
    "single characters of a category": (Case(Item("7", "围城", "", ("图书",)), (), {}), "它属于书 [1]。"),
    "a title without marks": (CHINESE_CASE, "你喜欢过蚁哥正传 [1]。"),
    "nothing cited": (CASE, "你可能会喜欢“Toy Story”。"),
}


@pytest.mark.parametrize(("case", "text"), CHINESE_HOLDS.values(), ids=CHINESE_HOLDS)
def test_accepts_chinese_that_the_evidence_holds(case: Case, text: str) -> None:
    assert VERIFIER.check(text, case.item, gather(case, CHINESE)).reasons == ()


@pytest.mark.parametrize(("case", "text"), CHINESE_FAILS.values(), ids=CHINESE_FAILS)
def test_refuses_chinese_that_the_evidence_lacks(case: Case, text: str) -> None:
    assert not VERIFIER.check(text, case.item, gather(case, CHINESE)).ok


@pytest.mark.parametrize("text", HOLDS.values(), ids=HOLDS)
def test_accepts_what_the_evidence_holds(text: str) -> None:
    verdict = VERIFIER.check(text, TOYS, EVIDENCE)
    assert verdict.reasons == ()
    assert verdict.ok
    assert verdict.cited


@pytest.mark.parametrize("text", FAILS.values(), ids=FAILS)
def test_refuses_what_the_evidence_lacks(text: str) -> None:
    verdict = VERIFIER.check(text, TOYS, EVIDENCE)
    assert not verdict.ok
    assert verdict.reasons


def test_the_case_has_the_evidence_that_the_labels_assume() -> None:
    assert [(fact.number, fact.kind, fact.text) for fact in EVIDENCE] == [
        (1, "query", "funny film with a dinosaur"),
        (2, "history", 'You liked "A Bug\'s Life" (Animation, Comedy)'),
        (3, "history", 'You liked "Antz" (Animation)'),
        (4, "field", "Animation, Comedy, Fantasy"),
        (
            5,
            "field",
            "A cowboy doll is threatened by 3 old friends when a new spaceman named Buzz Lightyear arrives",
        ),
        (6, "field", "director: John Lasseter"),
    ]


def test_reasons_say_what_and_where() -> None:
    text = 'You liked "Shrek" [3], a violinist [9].'
    assert VERIFIER.check(text, TOYS, EVIDENCE).reasons == (
        "[9] at character 35 is not among the evidence",
        '"Shrek" at character 10 is not in the evidence that it cites',
        '"violinist" at character 25 is not in the evidence that it cites',
    )


def test_cited_lists_each_number_once() -> None:
    text = 'It is Animation [4]. You liked "Antz" [3] and it is Comedy [4].'
    assert VERIFIER.check(text, TOYS, EVIDENCE).cited == (3, 4)


def test_a_film_and_its_remake_share_a_title() -> None:
    remake = Item("2", "Sabrina", categories=("Comedy",))
    evidence = [
        Evidence(1, "history", 'You liked "Sabrina" (Comedy)', "history", "1", "Sabrina"),
        Evidence(2, "field", "Comedy", "categories", "2", "Sabrina"),
    ]
    text = 'You may like "Sabrina" because you liked "Sabrina" [1]. It is Comedy [2].'
    assert Verifier(["Sabrina", "Sabrina"]).check(text, remake, evidence).ok


def test_length_is_bounded() -> None:
    verdict = VERIFIER.check("a" * (LONGEST + 1), TOYS, EVIDENCE)
    assert any(str(LONGEST) in reason for reason in verdict.reasons)


def test_a_title_of_a_large_catalog_is_known() -> None:
    verifier = Verifier(f"The film number {number} of them all" for number in range(100_000))
    verdict = verifier.check(
        'You liked "Antz" [3] and the film number 99999 of them all [3].', TOYS, EVIDENCE
    )
    assert any("the film number 99999 of them all" in reason for reason in verdict.reasons)
