"""Steady noise (hiss, hum, a fan) taken out of sound before speech is written down."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from llmrec.media.types import SAMPLE_RATE, Sound

_WINDOW, _HOP = 512, 256
_TAPER = np.sin(np.pi * (np.arange(_WINDOW, dtype=np.float32) + 0.5) / _WINDOW)
"""Root of a Hann window: applied before and after, overlapping halves add up to one."""
_TINY = np.float32(1e-20)
_PART = 30 * SAMPLE_RATE
"""Samples that are cleaned at once: bounds memory, and lets the estimate follow slow changes of the noise."""
_MARGIN = SAMPLE_RATE // 2
_QUIET = 0.1
"""Share of the windows, the quietest, that are taken to hold noise alone: people pause that often."""
_FLOOR = np.float32(10 ** (-15 / 20))
"""Least gain. Noise that is left makes fewer artefacts than bins that are switched off."""


def reduce_noise(sound: Sound) -> Sound:
    """Attenuate what is as loud in the pauses as elsewhere, by up to 15 dB.

    A Wiener filter in the short-time Fourier domain; the noise's power spectrum is the mean over the quietest
    windows of each half minute, and the signal-to-noise ratio is averaged over neighbouring windows and
    frequencies, which keeps isolated bins from ringing as "musical noise".

    Returns:
        Sound of the same length, not delayed.
    """
    cleaned = np.empty_like(sound)
    for start in range(0, len(sound), _PART):
        end = min(start + _PART, len(sound))
        before, after = max(0, start - _MARGIN), min(len(sound), end + _MARGIN)
        cleaned[start:end] = _clean(sound[before:after])[start - before : end - before]
    return cleaned


def _clean(part: Sound) -> Sound:
    from scipy.fft import irfft, rfft
    from scipy.ndimage import uniform_filter

    padded = np.pad(part, (_HOP, _HOP + -len(part) % _HOP))
    windows = sliding_window_view(padded, _WINDOW)[::_HOP]
    bins = rfft(windows * _TAPER, axis=1)
    power = bins.real**2 + bins.imag**2
    ratio = uniform_filter(power / (_noise(power) + _TINY), size=(5, 3)) - 1
    bins *= np.maximum(ratio / np.maximum(ratio + 1, _TINY), _FLOOR)
    windows = irfft(bins, n=_WINDOW, axis=1) * _TAPER
    joined = windows[:-1, _HOP:] + windows[1:, :_HOP]
    cleaned: Sound = joined.reshape(-1)[: len(part)]
    return cleaned


def _noise(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean power of each frequency in the quietest windows."""
    loudness = power.sum(axis=1)
    count = max(1, int(len(loudness) * _QUIET))
    quietest = np.argpartition(loudness, count - 1)[:count]
    noise: NDArray[np.float32] = power[quietest].mean(axis=0)
    return noise
