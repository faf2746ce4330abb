"""Sound is cut where nobody speaks, no stretch is longer than Whisper takes, and nothing said is left out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st
from whisper_sounds import hum, loud, music, noise, spoken, voices

from llmrec.media.types import SAMPLE_RATE
from llmrec.modality.whisper import voice
from llmrec.modality.whisper.voice import Span, speech_windows

LONGEST = 30 * SAMPLE_RATE


@st.composite
def speech(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Spans as the detector finds them, and the length of the sound."""
    spans, end = [], 0
    for _ in range(draw(st.integers(1, 30))):
        start = end + draw(st.integers(1600, 4 * SAMPLE_RATE))
        end = start + draw(st.integers(1600, 29 * SAMPLE_RATE))
        spans.append((start, end))
    return spans, end + draw(st.integers(0, SAMPLE_RATE))


@given(speech())
def test_windows_hold_every_span_whole_and_do_not_overlap(found: tuple[list[Span], int]) -> None:
    spans, length = found
    windows = list(voice._windows(spans, length))
    assert all(0 <= start < end <= length and end - start <= LONGEST for start, end in windows)
    assert all(end <= start for (_, end), (start, _) in pairwise(windows))
    for first, end in spans:
        assert sum(start <= first and end <= stop for start, stop in windows) == 1


def test_a_window_ends_at_the_longest_pause_of_its_second_half() -> None:
    second = SAMPLE_RATE
    spans = [(0, 10 * second), (int(11.9 * second), 20 * second), (21 * second, 28 * second)]
    spans.append((int(28.2 * second), 40 * second))
    assert [round(end / second, 1) for _, end in voice._windows(spans, 41 * second)] == [20.4, 40.4]


def test_two_seconds_of_silence_end_a_window() -> None:
    sound = voices(4, 4)
    first, second = speech_windows(sound)
    assert first.start == 0
    assert second.start == pytest.approx(6.7, abs=0.3)
    assert first.seconds == pytest.approx(4.4, abs=0.3)
    assert np.shares_memory(second.samples, sound)


def test_blocks_do_not_cut_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = np.zeros(100 * SAMPLE_RATE, np.float32)
    for start in (5, 34, 66):  # the second runs over the end of a block, the third over that of the next
        sound[start * SAMPLE_RATE :][: len(spoken("rocket"))] = spoken("rocket")
    whole = list(speech_windows(sound))
    monkeypatch.setattr(voice, "_BLOCK", 40 * SAMPLE_RATE)
    in_blocks = list(speech_windows(sound))
    assert len(whole) == len(in_blocks) == 3
    for one, other in zip(whole, in_blocks, strict=True):
        assert other.start == pytest.approx(one.start, abs=0.5)
        assert other.seconds == pytest.approx(one.seconds, abs=0.5)


@pytest.mark.parametrize("peak", [0.01, 0.1, 0.9])
def test_the_detector_hears_no_voice_in_noise_hum_or_music(peak: float) -> None:
    samples = 4 * SAMPLE_RATE
    for sound in (noise(samples, 0), noise(samples, 1), noise(samples, 2), hum(samples), music(samples, 220)):
        assert list(speech_windows(loud(sound, peak))) == []


def test_no_sound_has_no_windows() -> None:
    assert list(speech_windows(np.zeros(0, np.float32))) == []
    assert list(speech_windows(np.zeros(1, np.float32))) == []
