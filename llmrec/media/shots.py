"""Which moments of a video stand for it: its shots, and a sharp frame of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from llmrec.media.types import Picture

Indices = NDArray[np.int64]
Seconds = NDArray[np.float64]

CUT = 27 / 255
"""Mean change of a pixel between two looks that can be a cut; below, it never is one."""

CERTAIN_CUT = 0.25
RATIO = 3.0
"""A cut changes the picture this many times as much as the looks around it do, or by :data:`CERTAIN_CUT`.
The ratio tells cuts from fast motion, which changes every look; as PySceneDetect's adaptive detector does."""

MIN_SHOT = 0.5
"""Seconds. A cut that follows another sooner, or so near the end, is a flash."""

MIN_SPAN = 2.0
"""Seconds. A shot is not split into shorter spans for the sake of more frames."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is remembered of a frame that was looked at.

    Args:
        time: seconds from the beginning of the video.
        position: the same, in the stream's units; finds the frame again.
        change: mean absolute difference to the look before, 0 to 1.
        detail: mean gradient of the luminance, 0 to 1: near 0 for a black, a blank and a blurred frame.
    """

    time: float
    position: int
    change: float
    detail: float


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a video and the look that stands for it; from ``start`` to ``end`` seconds."""

    start: float
    end: float
    look: Look


def look_at(time: float, position: int, small: Picture, before: Picture | None) -> Look:
    """Measure a frame that was reduced to a small square of constant size; ``before`` is the look before."""
    grey = small.astype(np.float32).mean(axis=2) / 255
    detail = (np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()) / 2
    change = 0.0 if before is None else np.abs(small.astype(np.int16) - before).mean() / 255
    return Look(time, position, float(change), float(detail))


def plan(looks: Sequence[Look], seconds: float, frames: int) -> list[Span]:
    """Choose the frames that stand for a video.

    One for each shot. Where there are more shots than ``frames``, the shortest neighbours are joined and the
    longest of the joined stands for them; where there are fewer, long shots get several.

    Args:
        looks: in order of time, at least one where the video has frames.
        seconds: length of the video.
        frames: how many frames at most.

    Returns:
        Spans in order, not overlapping, from 0 to ``seconds``; none without looks.
    """
    if not looks:
        return []
    borders = np.array([0.0, *(look.time for look in looks[1:]), max(seconds, looks[-1].time)])
    shots = _split(_cuts(looks, borders[-1]), borders, frames)
    starts = _join(shots, borders, frames)
    spans = []
    for start, end in pairwise([*starts, len(looks)]):
        inside = [*shots[(shots >= start) & (shots < end)], end]
        longest = max(pairwise(inside), key=lambda shot: borders[shot[1]] - borders[shot[0]])
        spans.append(
            Span(float(borders[start]), float(borders[end]), _best(looks[int(longest[0]) : int(longest[1])]))
        )
    return spans


def _cuts(looks: Sequence[Look], end: float) -> Indices:
    """The first look of each shot."""
    change = np.array([look.change for look in looks])
    starts = [0]
    for at in np.flatnonzero(change >= CUT).tolist():
        around = [*change[max(1, at - 2) : at], *change[at + 1 : at + 3]]
        threshold = min(CERTAIN_CUT, RATIO * sum(around) / max(1, len(around)))
        if (
            change[at] >= threshold
            and looks[at].time - looks[starts[-1]].time >= MIN_SHOT <= end - looks[at].time
        ):
            starts.append(at)
    return np.array(starts)


def _split(shots: Indices, borders: Seconds, frames: int) -> Indices:
    """Further starts within long shots, as far as ``frames`` allows."""
    lengths = np.diff(borders[[*shots, -1]])
    parts = np.ones(len(shots), np.int64)
    while parts.sum() < frames:
        widths = np.where(lengths / (parts + 1) >= MIN_SPAN, lengths / parts, 0.0)
        if not widths.any():
            break
        parts[widths.argmax()] += 1
    times = [
        np.linspace(borders[s], borders[s] + n, p, endpoint=False)
        for s, n, p in zip(shots, lengths, parts, strict=True)
    ]
    further = np.searchsorted(borders[:-1], np.concatenate(times))
    return np.unique(np.concatenate([shots, further[further < len(borders) - 1]]))


def _join(shots: Indices, borders: Seconds, frames: int) -> Indices:
    """The starts that are left when the shortest neighbours are joined until there are ``frames``."""
    while len(shots) > frames:
        lengths = np.diff(borders[[*shots, -1]])
        shots = np.delete(shots, (lengths[:-1] + lengths[1:]).argmin() + 1)
    return shots


def _best(looks: Sequence[Look]) -> Look:
    """The one with most detail, those near the middle preferred: the ends may belong to a transition."""
    middle = (looks[0].time + looks[-1].time) / 2
    half = max(looks[-1].time - middle, 1e-6)
    return max(looks, key=lambda look: look.detail * (1 - abs(look.time - middle) / half / 2))
