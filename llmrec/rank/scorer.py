"""The scorer: channels in, one score out, with each channel's share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from llmrec.rank.channel import Scores


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
        spread = float(scores.std())
        return self.weights.get(name, 0.0) / spread if spread > 0 else 0.0


def _standardised(scores: Scores) -> Scores:
    spread = float(scores.std())
    centred: Scores = scores - scores.mean()
    return centred / np.float32(spread) if spread > 0 else np.zeros_like(centred)
