"""The measures of captions against values computed by hand."""

from __future__ import annotations

from math import exp, sqrt

import pytest
from caption_truth import content_words, is_right

from llmrec.evaluate.captions import bleu4, cider_d, longest_common_subsequence, rouge_l, words


def split(*sentences: str) -> list[list[str]]:
    return [sentence.split() for sentence in sentences]


def test_words_have_no_case_and_no_punctuation() -> None:
    assert words("A man's T-shirt, it's RED . 2 dogs") == [
        "a",
        "man",
        "'s",
        "t-shirt",
        "it",
        "'s",
        "red",
        "2",
        "dogs",
    ]


def test_bleu_of_one_sentence() -> None:
    # 5 of 6 words ("the" counts once), 3 of 5 pairs, 2 of 4 triples, 1 of 3 quadruples.
    expected = (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert bleu4(split("the cat sat on the mat"), [split("the cat sat on a mat")]) == pytest.approx(expected)


def test_bleu_takes_the_closest_length_and_counts_over_the_corpus() -> None:
    assert bleu4(split("a b c d"), [split("a b c d e f")]) == pytest.approx(exp(1 - 6 / 4))
    assert bleu4(split("a b c d"), [split("a b c d e f", "x y z")]) == pytest.approx(1.0)
    both = bleu4(split("a b c d", "p q r s"), [split("a b c d"), split("x x x x")])
    assert both == pytest.approx((4 / 8 * 3 / 6 * 2 / 4 * 1 / 2) ** 0.25)
    assert bleu4(split("a b c"), [split("a b c")]) == 0.0


def test_rouge_takes_the_best_precision_and_the_best_recall() -> None:
    assert longest_common_subsequence(*split("a b c d", "a x c d e")) == 3
    one = rouge_l(split("a b c d"), [split("a x c d e")])
    assert one == pytest.approx(2.44 * 0.75 * 0.6 / (0.6 + 1.44 * 0.75))
    # Precision 3/4 from the first reference, recall 2/2 from the second.
    two = rouge_l(split("a b c d"), [split("a x c d e", "a b")])
    assert two == pytest.approx(2.44 * 0.75 / (1 + 1.44 * 0.75))
    assert rouge_l(split("a", "b"), [split("c"), split("b")]) == pytest.approx(0.5)


def test_cider_weighs_what_few_references_say() -> None:
    references = [split("a dog"), split("a cat")]
    # "a" is in every picture's references and counts nothing; there are no triples and quadruples.
    assert cider_d(split("a dog", "a cat"), references) == pytest.approx(10 * 2 / 4)
    assert cider_d(split("a cat", "a cat"), references) == pytest.approx(10 * 2 / 4 / 2)
    longer = exp(-1 / 72) * (1 / 2 + 1 / sqrt(2)) / 4
    assert cider_d(split("a dog dog", "a cat"), references) == pytest.approx(10 * (longer + 2 / 4) / 2)


RUNNING = ["A black dog is running across a grassy meadow .", "The hiker watches his dog race by ."]
PLAYING = ["A woman in a green coat plays a guitar .", "Two ladies sit on a couch ."]


@pytest.mark.parametrize(
    ("caption", "references", "right"),
    [
        ("a brown dog runs through a field", RUNNING, True),
        ("two puppies running in the grass", RUNNING, True),
        ("a man with a dog", RUNNING, True),
        ("a dog is swimming", RUNNING, False),
        ("a cat runs through a field", RUNNING, False),
        ("a woman playing guitar", PLAYING, True),
        ("a girl is sitting on a sofa", PLAYING, True),
        ("a person sitting on a bench with a guitar", PLAYING, True),
        ("a man playing guitar", PLAYING, False),
        ("a child playing guitar", PLAYING, False),
        ("the green one", PLAYING, False),
        ("", PLAYING, False),
    ],
)
def test_a_caption_is_right_where_the_references_bear_it_out(
    caption: str, references: list[str], right: bool
) -> None:
    assert is_right(caption, references) == right


def test_content_words_are_stems_without_colours_and_numbers() -> None:
    assert content_words("Two men are riding red bikes") == ["men", "rid", "bik"]
