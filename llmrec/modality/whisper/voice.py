"""Where in a sound somebody speaks (Silero VAD, which comes with faster-whisper)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llmrec.media.types import SAMPLE_RATE, Sound

_BLOCK = 600 * SAMPLE_RATE
"""Samples that are looked at together. It bounds memory: the detector needs ten times the block."""
_PAD = SAMPLE_RATE * 4 // 10
_LONGEST = 30 * SAMPLE_RATE - 2 * _PAD
_PAUSE = 2 * SAMPLE_RATE

Span = tuple[int, int]
"""First sample, and the one after the last."""


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

    def after(self, seconds: float) -> Window:
        """What of it comes after so many seconds."""
        return Window(self.start + seconds, self.samples[round(seconds * SAMPLE_RATE) :])


def speech_windows(sound: Sound) -> Iterator[Window]:
    """The stretches of a sound in which somebody speaks, in order.

    They end where nobody speaks for two seconds; before they exceed 30 seconds, at the longest pause of
    their second half.
    """
    start = 0
    while start < len(sound):
        block = sound[start : start + _BLOCK]
        spans = _spans(block)
        following = start + len(block)
        windows = list(_windows(spans, len(block)))
        if following < len(sound) and spans and spans[-1][1] == len(block):
            # The end of the block may cut a word: that stretch belongs to the next block, whole.
            following = start + windows.pop()[0]
        for first, end in windows:
            yield Window((start + first) / SAMPLE_RATE, block[first:end])
        start = following


def _spans(block: Sound) -> list[Span]:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(
        max_speech_duration_s=_LONGEST / SAMPLE_RATE,
        min_speech_duration_ms=100,
        min_silence_duration_ms=100,
        speech_pad_ms=0,
    )
    return [(int(span["start"]), int(span["end"])) for span in get_speech_timestamps(block, options)]


def _windows(spans: Sequence[Span], length: int) -> Iterator[Span]:
    """Spans put together, with some of the silence around them."""
    pauses = [following[0] - span[1] for span, following in pairwise(spans)] + [_BLOCK]
    first, before = 0, _BLOCK
    while first < len(spans):
        start = spans[first][0]
        last = first
        while pauses[last] < _PAUSE and spans[last + 1][1] - start <= _LONGEST:
            last += 1
        if pauses[last] < _PAUSE:
            late = [place for place in range(first, last + 1) if spans[place][1] - start > _LONGEST // 2]
            last = max(late or [last], key=lambda place: pauses[place])
        end = spans[last][1]
        yield max(0, start - min(_PAD, before // 2)), min(length, end + min(_PAD, pauses[last] // 2))
        first, before = last + 1, pauses[last]
