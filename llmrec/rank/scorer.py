"""The scorer: channels in, one score out, with each channel's share.

Channels have scales of their own. Each is standardised over the candidates that it knows, so that a weight
means the same for all, and damped by sign(z) log(1 + |z|), so that one channel's outliers do not drown the
others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llmrec.rank.channel import Scores

_ROUNDING = 1e-6
"""Relative spread below which float32 scores count as equal: a few units in their last place."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of candidates and the channels' contributions, which add up to them exactly as computed."""

    total: Scores
    contributions: Mapping[str, Scores]


@dataclass(frozen=True, slots=True)
class Standard:
    """One channel's scores on the common scale.

    Args:
        values: standardised and damped, 0 for what the channel does not know, (candidates,).
        known: which candidates it knows, (candidates,).
        slope: what one unit of the channel's own score adds to ``values``, (candidates,).
    """

    values: Scores
    known: NDArray[np.bool_]
    slope: Scores


class Scorer(Protocol):
    """Combines what the channels say of the same candidates."""

    def __call__(self, channels: Mapping[str, Scores], user: Scores, items: Scores) -> Scored:
        """Combine.

        Args:
            channels: scores by channel, (candidates,), NaN where it knows nothing of one; a channel that had
                nothing to say at all is absent.
            user: features of who asks, (:data:`llmrec.rank.features.USER`,).
            items: features of the candidates, (candidates, :data:`llmrec.rank.features.ITEM`).
        """

    def slope(self, name: str, scores: Scores, user: Scores, items: Scores) -> Scores:
        """What one unit of a channel's own score adds to the total, (candidates,)."""

    def uses(self, name: str) -> bool:
        """Whether a channel can move the score."""


class WeightedScorer:
    """A weighted sum of standardised channels."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = {name: weight for name, weight in weights.items() if weight}

    def __call__(self, channels: Mapping[str, Scores], user: Scores, items: Scores) -> Scored:
        """Combine; a channel without a weight, or equal for all candidates, adds nothing."""
        contributions = {
            name: np.float32(weight) * standardised(channels[name]).values
            for name, weight in self.weights.items()
            if name in channels
        }
        return added(contributions, len(items))

    def slope(self, name: str, scores: Scores, user: Scores, items: Scores) -> Scores:
        """The weight, over the spread of the scores, less where they stand out."""
        return np.float32(self.weights.get(name, 0.0)) * standardised(scores).slope

    def uses(self, name: str) -> bool:
        """Whether it has a weight."""
        return name in self.weights


def added(contributions: Mapping[str, Scores], size: int) -> Scored:
    """The sum of contributions, each (size,)."""
    total = np.zeros(size, np.float32)
    for values in contributions.values():
        total += values
    return Scored(total, contributions)


def standardised(scores: Scores) -> Standard:
    """A channel's scores, NaN where it knows nothing, on the scale that all share."""
    known = ~np.isnan(scores)
    values = scores if known.all() else scores[known]
    spread = _spread(values)
    if not spread:
        zeros = np.zeros_like(scores)
        return Standard(zeros, known, zeros)
    centred = np.where(known, (scores - values.mean(dtype=np.float64)) / spread, 0).astype(np.float32)
    size = np.abs(centred)
    slope = known / ((1 + size) * np.float32(spread))
    return Standard(np.copysign(np.log1p(size), centred), known, slope.astype(np.float32))


def _spread(scores: Scores) -> float:
    """Standard deviation; 0 where scores differ by rounding only, or by less than a float32 can divide by."""
    if not len(scores):
        return 0.0
    spread = float(scores.std(dtype=np.float64))
    least = max(_ROUNDING * float(np.abs(scores).max()), float(np.finfo(np.float32).tiny))
    return spread if spread > least else 0.0
