"""Colours get the words that people use for them; size and shape are stated."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import ImageColor

from llmrec.media.types import Picture
from llmrec.modality.look import look


def filled(*parts: tuple[str, float], side: int = 200) -> Picture:
    """A picture of upright stripes: colour and share of each."""
    stripes = [
        np.full((side, round(side * share), 3), ImageColor.getrgb(name), np.uint8) for name, share in parts
    ]
    return np.concatenate(stripes, axis=1)


def colours(picture: Picture) -> str:
    return look(picture, 640, 480).removesuffix(", 640 x 480, landscape")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("black", "black"),
        ("white", "white"),
        ("ivory", "white"),
        ("grey", "grey"),
        ("red", "red"),
        ("crimson", "red"),
        ("maroon", "dark red"),
        ("orange", "orange"),
        ("yellow", "yellow"),
        ("gold", "yellow"),
        ("green", "green"),
        ("lime", "green"),
        ("forestgreen", "green"),
        ("lightgreen", "light green"),
        ("blue", "blue"),
        ("navy", "dark blue"),
        ("skyblue", "light blue"),
        ("steelblue", "blue"),
        ("blueviolet", "purple"),
        ("pink", "pink"),
        ("hotpink", "pink"),
        ("saddlebrown", "brown"),
        ("sienna", "brown"),
        ("tan", "light brown"),
    ],
)
def test_one_colour(name: str, word: str) -> None:
    assert colours(filled((name, 1.0))) == word


def test_colours_are_ordered_by_share() -> None:
    assert colours(filled(("navy", 0.7), ("white", 0.3))) == "mostly dark blue and white"
    assert colours(filled(("white", 0.3), ("red", 0.5), ("black", 0.2))) == "red, white and black"


def test_small_shares_are_left_out() -> None:
    assert colours(filled(("green", 0.95), ("red", 0.05))) == "green"


def test_at_most_three_colours() -> None:
    four = filled(("red", 0.4), ("green", 0.25), ("blue", 0.2), ("yellow", 0.15))
    assert colours(four) == "red, green and blue"


def test_photograph_without_colour_is_black_and_white() -> None:
    ramp = np.linspace(0, 255, 256, dtype=np.uint8)
    assert colours(np.broadcast_to(ramp[None, :, None], (256, 256, 3))) == "black and white"


def test_fine_texture_keeps_its_colours() -> None:
    checks = np.indices((301, 301)).sum(axis=0) % 2
    palette = np.array([ImageColor.getrgb("red"), ImageColor.getrgb("white")], np.uint8)
    assert set(colours(palette[checks]).split(" and ")) == {"red", "white"}


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [(640, 480, "landscape"), (480, 640, "portrait"), (500, 500, "square"), (520, 500, "square")],
)
def test_size_and_shape(width: int, height: int, shape: str) -> None:
    assert look(filled(("red", 1.0)), width, height) == f"red, {width} x {height}, {shape}"


@pytest.mark.parametrize("size", [(1, 1), (1, 1600), (1600, 1), (3, 5)])
def test_any_size(size: tuple[int, int]) -> None:
    assert colours(np.zeros((*size, 3), np.uint8)) == "black"


def test_takes_milliseconds() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        look(picture, 1600, 1200)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.005
