"""Where a caption ends, so that every word of it is likely enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from blip_folders import END, write_stated
from hypothesis import given, strategies as st

from llmrec.config import CaptionSettings
from llmrec.modality.blip.captioner import Answer, BlipCaptioner
from llmrec.modality.blip.folder import BlipFolder, read_blip_folder
from llmrec.modality.blip.load import _min_word_probability
from llmrec.modality.blip.words import CaptionTokenizer

LEAST = 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> BlipFolder:
    return read_blip_folder(write_stated(tmp_path_factory.mktemp("blip")), "blip")


@pytest.fixture(scope="module")
def tokenizer(folder: BlipFolder) -> CaptionTokenizer:
    return CaptionTokenizer(folder, "")


class Engine:
    """Says the same of every picture."""

    workers = 1

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def describe(self, pixels: np.ndarray) -> list[Answer]:
        return [self.answer] * len(pixels)


def tokens_of(tokenizer: CaptionTokenizer, text: str) -> list[int]:
    return [*tokenizer.tokens(text), END]


def kept(tokenizer: CaptionTokenizer, text: str, probabilities: Sequence[float], least: float = LEAST) -> str:
    tokens = tokens_of(tokenizer, text)
    values = [math.log(value) for value in [*probabilities, *[0.99] * len(tokens)][: len(tokens)]]
    return tokenizer.text(tokens[: tokenizer.sure(tokens, values, least)])


@pytest.mark.parametrize(
    ("text", "probabilities", "expected"),
    [
        ("a dog on the beach", [], "a dog on the beach"),
        ("a dog on the beach", [0.9, 0.9, 0.9, 0.9, 0.4], "a dog"),
        ("a dog on the beach", [0.9, 0.4], ""),
        ("a man in a red hat", [0.9, 0.9, 0.9, 0.9, 0.9, 0.1], "a man"),
        ("a man in a red hat", [0.9, 0.9, 0.9, 0.9, 0.3, 0.9], "a man"),
        ("a red dog", [0.9, 0.9, 0.3], ""),
        ("a red", [0.9, 0.9], "a red"),
        ("two dogs", [0.9, 0.8, 0.6], ""),  # .8 x .6 < .5: the pieces of a word are one
        ("two dogs", [0.9, 0.8, 0.7], "two dogs"),
        ("a dog, running", [0.9, 0.9, 0.9, 0.3], "a dog"),
    ],
)
def test_a_caption_ends_before_the_first_word_that_is_not_sure(
    tokenizer: CaptionTokenizer, text: str, probabilities: list[float], expected: str
) -> None:
    assert kept(tokenizer, text, probabilities) == expected
    assert kept(tokenizer, text, probabilities, least=0) == text


def test_the_end_need_not_be_likely(tokenizer: CaptionTokenizer) -> None:
    tokens = tokens_of(tokenizer, "a dog")
    assert tokenizer.sure(tokens, [-0.1, -0.1, -3.0], LEAST) == len(tokens)


@given(data=st.data())
def test_what_is_kept_is_a_beginning_and_grows_with_leniency(
    tokenizer: CaptionTokenizer, data: st.DataObject
) -> None:
    tokens = data.draw(st.lists(st.integers(0, 34), max_size=12))
    values = [-data.draw(st.floats(0, 5)) for _ in tokens]
    counts = [tokenizer.sure(tokens, values, least) for least in (0.0, 0.1, 0.3, 0.6, 0.99)]
    assert counts[0] == len(tokens)
    assert counts == sorted(counts, reverse=True)


def test_of_a_caption_in_which_nothing_is_sure_all_is_told_as_unsure(
    folder: BlipFolder, tokenizer: CaptionTokenizer
) -> None:
    tokens = tuple(tokens_of(tokenizer, "a dog on the beach"))
    doubted = Answer(tokens, tuple(map(math.log, (0.9, 0.2, 0.9, 0.9, 0.9, 0.9))), (-2.0,) * 6)
    partly = Answer(tokens, tuple(map(math.log, (0.9, 0.8, 0.2, 0.2, 0.2, 0.2))), (-2.0,) * 6)
    pictures = [np.zeros((8, 8, 3), np.uint8)] * 3
    for answer, text, unsure in ((doubted, "a dog on the beach", True), (partly, "a dog", False)):
        captioner = BlipCaptioner(
            folder, "f", tokenizer, Engine(answer), batch_size=2, min_word_probability=LEAST
        )
        captions = captioner.caption(pictures)
        assert len(captions) == 3
        assert {(caption.text, caption.unsure) for caption in captions} == {(text, unsure)}
    mean = (math.log(0.9) + math.log(0.8)) / 2  # of what is kept alone
    assert captions[0].log_probability == pytest.approx(mean)
    assert captions[0].margin == pytest.approx(mean + 2.0)
    assert captioner.sure_part(partly, 0).text == "a dog on the beach"


def test_only_small_checkpoints_are_cut_unless_it_is_asked_for(tmp_path: Path) -> None:
    small, large = (read_blip_folder(write_stated(tmp_path / name), name) for name in ("small", "large"))
    with (large.path / "model-2.safetensors").open("wb") as file:
        file.truncate(500_000_000)  # sparse
    assert [_min_word_probability(folder, CaptionSettings()) for folder in (small, large)] == [0.41, 0.0]
    settings = CaptionSettings(min_word_probability=0.2)
    assert {_min_word_probability(folder, settings) for folder in (small, large)} == {0.2}
