"""What the models that turn media into text have in common.

A ``fingerprint`` is the identity (hex) of everything that decides a model's answers: weights, engine where
it matters, and the settings that go into the computation. Settings that only choose among finished answers
(thresholds) are not part of it, so that changing one computes nothing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from llmrec.media.types import Picture, Sound


@dataclass(frozen=True, slots=True)
class Caption:
    """What a captioner says of a picture.

    Args:
        text: the caption; may be empty.
        log_probability: mean over its tokens, the end included; at most 0.
        margin: how much more likely the caption is with this picture than with a blank one: the difference
            of the two mean token log-probabilities. Near 0 the words came from habit, not from the picture.
        unsure: the captioner itself would not stand by any part of it.
    """

    text: str
    log_probability: float
    margin: float
    unsure: bool = False


class Captioner(Protocol):
    """A model that describes pictures."""

    name: str
    fingerprint: str

    def caption(self, pictures: Sequence[Picture]) -> list[Caption]:
        """One caption a picture, in their order; independent of which pictures stand beside it."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text found in a picture.

    Args:
        confidence: 0 to 1.
        box: left, top, right, bottom as shares of the picture's width and height.
    """

    text: str
    confidence: float
    box: tuple[float, float, float, float]


class TextReader(Protocol):
    """A model that reads text in pictures (OCR)."""

    name: str
    fingerprint: str

    def read(self, picture: Picture) -> list[TextLine]:
        """The lines in reading order; none where there is no text."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Something said.

    Args:
        start: seconds from the beginning of the sound.
        end: likewise.
        confidence: 0 to 1, the geometric mean of the tokens' probabilities.
    """

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is said in a sound; no segments where nobody speaks.

    Args:
        language: ISO 639-1 code, None where nobody speaks.
    """

    segments: tuple[Segment, ...]
    language: str | None = None


class Transcriber(Protocol):
    """A model that writes down speech."""

    name: str
    fingerprint: str

    def transcribe(self, sound: Sound) -> Transcript:
        """What is said in a sound, with its times."""
