"""Where in a sound somebody speaks (Silero VAD, which comes with faster-whisper)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llmrec.media.types import SAMPLE_RATE, Sound

_BLOCK = 600 * SAMPLE_RATE
"""Samples that are looked at together. It bounds memory: the detector needs ten times the block."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of sound with speech, at most 30 seconds long.

    Args:
        start: seconds from the beginning of the sound.
        samples: a view of the sound.
    """

    start: float
    samples: Sound

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / SAMPLE_RATE


def speech_windows(sound: Sound) -> Iterator[Window]:
    """The stretches of a sound in which somebody speaks, in order.

    They end where nobody speaks for two seconds, or in the last pause before they exceed 30 seconds.
    """
    start = 0
    while start < len(sound):
        block = sound[start : start + _BLOCK]
        spans = _spans(block)
        following = start + len(block)
        if following < len(sound) and spans and spans[-1][0] > 0 and spans[-1][1] == len(block):
            # The end of the block may cut a word: that stretch belongs to the next block, whole.
            following = start + spans.pop()[0]
        for first, last in spans:
            yield Window((start + first) / SAMPLE_RATE, block[first:last])
        start = following


def _spans(block: Sound) -> list[tuple[int, int]]:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options: Any = VadOptions(max_speech_duration_s=30, min_speech_duration_ms=100)
    return [(int(span["start"]), int(span["end"])) for span in get_speech_timestamps(block, options)]
