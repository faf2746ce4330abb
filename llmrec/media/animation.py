"""A handful of frames that stand for an animation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmrec.config import MediaSettings
from llmrec.media.pixels import upright_rgb
from llmrec.media.types import Frame

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_GLANCE = 32
"""Longest side, in pixels, at which frames are compared."""

_CHANGE = 8.0
"""Mean difference of two frames' values (0 to 255) from which they show different things."""

_PIXELS = 4
"""An animation is looked at until ``max_pixels`` times this were decoded."""

_DEFAULT_DURATION = 0.1
"""Seconds of a frame that states none, or less than a screen can show; what browsers take."""


@dataclass(frozen=True, slots=True)
class _Shot:
    index: int
    start: float
    end: float


def animation_frames(
    image: ImageFile, orientation: int, limits: MediaSettings, check: Callable[[], None]
) -> tuple[tuple[Frame, ...], float | None]:
    """Frames spread over an animation, without those that look like the one before.

    Only the beginning is looked at where the whole would take too many pixels.

    Args:
        image: opened.
        orientation: its EXIF orientation.
        limits: how many frames, and how large.
        check: called before a frame is decoded; raises where a limit is passed.

    Returns:
        The frames and the length in seconds; one frame without times, and None, where nothing changes.
    """
    shots = _shots(image, limits.max_pixels * _PIXELS, check)
    if len(shots) == 1:
        _go_to(image, shots[0].index, check)
        return (Frame(upright_rgb(image, orientation, limits.max_side)),), None
    frames = []
    for shot in _spread(shots, limits.frames):
        _go_to(image, shot.index, check)
        frames.append(Frame(upright_rgb(image, orientation, limits.max_side), shot.start, shot.end))
    return tuple(frames), shots[-1].end


def _shots(image: ImageFile, max_pixels: int, check: Callable[[], None]) -> list[_Shot]:
    """Runs of frames that look alike, each by its first frame."""
    shots: list[_Shot] = []
    glance: NDArray[np.float32] = np.empty(0, np.float32)
    at, decoded = 0.0, 0
    index = (
        1 if getattr(image, "default_image", False) else 0
    )  # a PNG's stand-in for viewers that cannot play
    while decoded <= max_pixels:
        try:
            _go_to(image, index, check)
        except EOFError:
            break
        decoded += image.width * image.height
        milliseconds = float(image.info.get("duration") or 0)
        end = at + (milliseconds / 1000 if milliseconds > 10 else _DEFAULT_DURATION)
        seen = upright_rgb(image, 1, _GLANCE).astype(np.float32)
        if shots and seen.shape == glance.shape and np.abs(seen - glance).mean() < _CHANGE:
            shots[-1] = replace(shots[-1], end=end)
        else:
            shots.append(_Shot(index, at, end))
            glance = seen
        at, index = end, index + 1
    if not shots or (decoded <= max_pixels and index < _stated_frames(image)):
        raise EOFError("frames are missing")
    return shots


def _go_to(image: ImageFile, index: int, check: Callable[[], None]) -> None:
    image.seek(index)
    check()  # a frame may enlarge the picture
    image.load()


def _stated_frames(image: ImageFile) -> int:
    """The number of frames that the header states; 0 for GIF, whose header does not."""
    return 0 if image.format == "GIF" else int(getattr(image, "n_frames", 0))


def _spread(shots: list[_Shot], count: int) -> list[_Shot]:
    """The shots seen in the middle of ``count`` equal parts of the time; all where they are few."""
    if len(shots) <= count:
        return shots
    length = shots[-1].end
    middles = [(part + 0.5) * length / count for part in range(count)]
    return list(dict.fromkeys(next(shot for shot in shots if middle < shot.end) for middle in middles))
