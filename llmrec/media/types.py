"""What opened media are: frames and sound, whatever file they came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Samples in a second of every sound."""

Picture = NDArray[np.uint8]
"""RGB pixels: ``(height, width, 3)``."""

Sound = NDArray[np.float32]
"""One channel at :data:`SAMPLE_RATE`: ``(samples,)``, within -1 to 1."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture, or one frame of an animation or video.

    Args:
        pixels: upright, at most ``max_side`` long.
        start: seconds at which the shot that it stands for begins; None for a still picture.
        end: seconds at which that shot ends; likewise.
    """

    pixels: Picture
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Media:
    """An opened file.

    Args:
        frames: a still picture's one, or a handful spread over an animation or video.
        sound: None where the file has no sound track; may be empty.
        width: pixels of the original, upright; 0 for sound.
        height: likewise.
        seconds: length of sound, animation and video; None for a still picture.
    """

    frames: tuple[Frame, ...] = ()
    sound: Sound | None = None
    width: int = 0
    height: int = 0
    seconds: float | None = None
