"""What any picture says without a model: its colours, its size and its shape."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from llmrec.media.types import Picture

_GRID = 64
"""Pixels are sampled on a grid of at most this many rows and columns."""

_MIN_SHARE = 0.1
"""A colour below it is not named, unless it is the only one."""

_MOSTLY = 0.6
"""Share from which the first colour is said to be what the picture mostly is."""

_MAX_COLOURS = 3
_SQUARE = 1.1
"""Ratio of the sides up to which a picture is called square."""

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE_POINT = _TO_XYZ.sum(axis=1)

_BASIC = np.array(
    ["black", "grey", "white", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"]
)
_BLACK, _GREY, _WHITE, _RED, _ORANGE, _YELLOW, _GREEN, _BLUE, _PURPLE, _PINK, _BROWN = range(len(_BASIC))
_PLAIN, _DARK, _LIGHT = range(3)


def look(picture: Picture, width: int, height: int) -> str:
    """A picture's colours, size and shape, as in ``mostly dark blue and white, 640 x 480, landscape``.

    Args:
        picture: RGB pixels, ``(height, width, 3)``, of any size above 0.
        width: pixels of the original.
        height: likewise.
    """
    return f"{_colours(picture)}, {width} x {height}, {_shape(width, height)}"


def _shape(width: int, height: int) -> str:
    if max(width, height) <= _SQUARE * min(width, height):
        return "square"
    return "landscape" if width > height else "portrait"


def _colours(picture: Picture) -> str:
    rows, columns = (
        np.linspace(0, side - 1, min(side, _GRID)).round().astype(int) for side in picture.shape[:2]
    )
    basic, shade = _named(_lab(picture[np.ix_(rows, columns)].reshape(-1, 3)))
    counts = Counter(basic.tolist())
    neutral = [counts[colour] / len(basic) for colour in (_BLACK, _GREY, _WHITE)]
    if sum(neutral) > 0.97 and max(neutral) < 0.9:
        return "black and white"
    ranked = sorted(counts, key=lambda colour: (-counts[colour], colour))
    names = [
        _with_shade(colour, shade[basic == colour])
        for colour in ranked[:_MAX_COLOURS]
        if colour == ranked[0] or counts[colour] >= _MIN_SHARE * len(basic)
    ]
    mostly = "mostly " if len(names) > 1 and counts[ranked[0]] >= _MOSTLY * len(basic) else ""
    return mostly + " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _with_shade(colour: int, shades: NDArray[np.int_]) -> str:
    """The colour with the shade that more than half of its pixels have."""
    for shade, word in ((_DARK, "dark "), (_LIGHT, "light ")):
        if np.mean(shades == shade) > 0.5:
            return word + str(_BASIC[colour])
    return str(_BASIC[colour])


def _lab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIELAB (D65) of sRGB colours: ``(colours, 3)``."""
    value = rgb / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _WHITE_POINT
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def _named(lab: NDArray[np.float64]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Basic colour and shade of each colour, by lightness (0 to 100), chroma and hue (degrees)."""
    light, chroma = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2])
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    neutral = (chroma < 10) | (light < 8) | ((light > 92) & (chroma < 16))
    brown = np.where(
        chroma < 38, (hue >= 40) & (hue < 115), (hue >= 48) & (hue < 95) & (light < 55)
    )  # a dark or dull orange
    pale_red = ((hue < 48) | (hue >= 345)) & (light > 62) & (chroma < 62)
    basic = np.select(
        [
            neutral & (light < 25),
            neutral & (light > 85),
            neutral,
            pale_red,
            brown,
            (hue < 15) | (hue >= 345),
            hue < 48,
            hue < 82,
            (hue < 112) & (light >= 60),
            hue < 192,
            hue < 309,
            (light < 62) & (hue < 345),
        ],
        [_BLACK, _WHITE, _GREY, _PINK, _BROWN, _PINK, _RED, _ORANGE, _YELLOW, _GREEN, _BLUE, _PURPLE],
        default=_PINK,
    )
    shaded = np.isin(basic, (_RED, _GREEN, _BLUE, _PURPLE, _BROWN, _GREY))
    shade = np.select(
        [shaded & (light < 32), shaded & (light > 72) & (chroma < 70)], [_DARK, _LIGHT], default=_PLAIN
    )
    return basic, shade
