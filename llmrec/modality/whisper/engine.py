"""What the two implementations of Whisper have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llmrec.media.types import Sound


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the model takes a window for.

    Args:
        tokens: text and time stamps.
        log_probability: mean over the tokens, the end included; at most 0.
        no_speech: the model's own probability that nobody speaks.
    """

    tokens: Sequence[int]
    log_probability: float
    no_speech: float


class Engine(Protocol):
    """Whisper on windows of at most 30 seconds; several at once run as one batch."""

    first_time: int
    """Token that stands for 0.00 seconds; the ones after it count on in steps of 0.02 s."""

    def speaks(self, language: str) -> bool:
        """Whether it knows a language (ISO 639-1)."""

    def frames(self, window: Sound) -> int:
        """How much spectrogram the encoder is given for a window; only windows of equal size run together."""

    def encode(self, windows: Sequence[Sound], *, whole: bool = False) -> Any:
        """What the encoder makes of windows of equal size, for the methods below.

        Args:
            windows: each at most 30 seconds long.
            whole: give the encoder the full 30 seconds, whatever :meth:`frames` says.
        """

    def languages(self, encoded: Any) -> list[dict[str, float]]:
        """The probability of each language (ISO 639-1), for each window."""

    def decode(self, encoded: Any, languages: Sequence[str], beams: int) -> list[Hypothesis]:
        """The likeliest tokens of each window, in the language given for each."""

    def text(self, tokens: Sequence[int]) -> str:
        """What text tokens stand for."""
