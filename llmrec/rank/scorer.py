"""The scorer: channels in, one score out, with each channel's share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from llmrec.rank.channel import Scores

_ROUNDING = 1e-6
"""Relative spread below which float32 scores count as equal: a few units in their last place."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of candidates and the channels' contributions, which add up to them exactly as computed."""

    total: Scores
    contributions: Mapping[str, Scores]


class Scorer(Protocol):
    """Combines what the channels say of the same candidates."""

    def __call__(self, channels: Mapping[str, Scores]) -> Scored:
        """Combine. Each array is (candidates,); a channel that had nothing to say is absent."""


class WeightedScorer:
    """A weighted sum of standardised channels.

    Channels have scales of their own: each is centred and divided by its standard deviation over the
    candidates, so that a weight means the same for all.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = {name: weight for name, weight in weights.items() if weight}

    def __call__(self, channels: Mapping[str, Scores]) -> Scored:
        """Combine; a channel without a weight, or equal for all candidates, adds nothing."""
        sizes = {len(scores) for scores in channels.values()}
        total = np.zeros(sizes.pop() if sizes else 0, np.float32)
        contributions = {}
        for name, weight in self.weights.items():
            if name not in channels:
                continue
            contributions[name] = weight * _standardised(channels[name])
            total += contributions[name]
        return Scored(total, contributions)

    def slope(self, name: str, scores: Scores) -> float:
        """What one unit of a channel's own score adds to the total."""
        spread = _spread(scores)
        return self.weights.get(name, 0.0) / spread if spread else 0.0


def _standardised(scores: Scores) -> Scores:
    spread = _spread(scores)
    return (scores - scores.mean()) / np.float32(spread) if spread else np.zeros_like(scores)


def _spread(scores: Scores) -> float:
    """Standard deviation; 0 where scores differ by rounding only, or by less than a float32 can divide by."""
    if not len(scores):
        return 0.0
    spread = float(scores.std(dtype=np.float64))
    least = max(_ROUNDING * float(np.abs(scores).max()), float(np.finfo(np.float32).tiny))
    return spread if spread > least else 0.0
