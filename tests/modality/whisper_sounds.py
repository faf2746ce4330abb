"""Speech of the demo's shelf, and sounds in which nobody speaks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import llmrec
from llmrec.config import MediaSettings
from llmrec.media.sound import read_sound
from llmrec.media.types import SAMPLE_RATE, Sound

SPEECH = Path(llmrec.__file__).parent / "demo" / "speech"

LOUDNESS = (1e-4, 0.01, 0.1, 0.9)
CHORDS = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (-3, 0, 4), (2, 5, 9))


@cache
def spoken(name: str) -> Sound:
    """One of the spoken introductions, about ten seconds long."""
    with (SPEECH / f"{name}.opus").open("rb") as stream:
        sound = read_sound(stream, MediaSettings()).sound
    assert sound is not None
    return sound


def voices(*seconds: float) -> Sound:
    """Beginnings of an introduction, with three seconds of silence after each."""
    silence = np.zeros(3 * SAMPLE_RATE, np.float32)
    rocket = spoken("rocket")
    return np.concatenate(
        [part for length in seconds for part in (rocket[: round(length * SAMPLE_RATE)], silence)]
    )


def noise(samples: int, slope: float, seed: int = 0) -> NDArray[np.float64]:
    """Noise whose power falls with frequency to the power of ``slope``: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** (slope / 2)
    return np.fft.irfft(spectrum, samples)


def music(samples: int, root: float, vibrato: float = 0.0) -> NDArray[np.float64]:
    """Plucked chords, two a second."""
    step = SAMPLE_RATE // 2
    time = np.arange(step) / SAMPLE_RATE
    sway = vibrato * np.sin(2 * np.pi * 5 * time)
    played = [
        sum(
            np.sin(2 * np.pi * root * 2 ** (note / 12) * overtone * time + sway)
            * np.exp(-3 * time)
            / overtone
            for note in chord
            for overtone in range(1, 7)
        )
        for chord in CHORDS
    ]
    return np.resize(np.concatenate(played), samples)


def hum(samples: int) -> NDArray[np.float64]:
    """Mains hum."""
    time = np.arange(samples) / SAMPLE_RATE
    return np.sum(
        [np.sin(2 * np.pi * 50 * overtone * time) / overtone for overtone in (1, 2, 3, 5, 7)], axis=0
    )


def clicks(samples: int, seed: int = 0) -> NDArray[np.float64]:
    """Four clicks a second."""
    random = np.random.default_rng(seed)
    sound = np.zeros(samples)
    for place in random.integers(0, samples - 100, samples // 4000):
        sound[place : place + 100] += np.exp(-np.arange(100) / 12) * random.standard_normal(100)
    return sound


def buzz(samples: int) -> NDArray[np.float64]:
    """The formants of a vowel, swelling four times a second. Where it is loud it passes for a voice."""
    random = np.random.default_rng(12)
    time = np.arange(samples) / SAMPLE_RATE
    sound = np.zeros(samples)
    for pitch in range(120, 3600, 120):
        loud = np.exp(-(((pitch - 700) / 150) ** 2)) + 0.6 * np.exp(-(((pitch - 1200) / 200) ** 2)) + 0.05
        sound += loud * np.sin(2 * np.pi * pitch * time + random.uniform(0, 6))
    return sound * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * time))


def loud(sound: NDArray[np.float64], peak: float) -> Sound:
    """The sound at that peak; silence stays silent."""
    return (sound / max(float(np.abs(sound).max()), 1e-9) * peak).astype(np.float32)


def nobody_speaks(seconds: float) -> Iterator[tuple[str, Sound]]:
    """Silence, noise, music, hum and clicks at every loudness, each with its name."""
    samples = round(seconds * SAMPLE_RATE)
    sounds = {
        "silence": np.zeros(samples),
        "white noise": noise(samples, 0),
        "pink noise": noise(samples, 1),
        "brown noise": noise(samples, 2),
        "low chords": music(samples, 110, 2.0),
        "chords": music(samples, 220),
        "high chords": music(samples, 440, 1.0),
        "hum": hum(samples),
        "clicks": clicks(samples),
        "buzz": buzz(samples),
    }
    for name, sound in sounds.items():
        for peak in LOUDNESS:
            yield f"{name} at {peak}", loud(sound, peak)
