"""The fusion scorer: a sum of channels whose weights depend on who asks and on the item.

The weight of channel c for user u and item i is exp(b_c + U_c·f(u) + I_c·g(i)), always positive, with the
features of :mod:`llmrec.rank.features`: so new items lean on what is known of their content, and new users on
what everyone chooses. What a channel knows nothing of gets a constant of its own, and each item a prior. All
parts are additive.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from llmrec.rank.channel import Arrays, Scores
from llmrec.rank.features import ITEM, USER
from llmrec.rank.scorer import Scored, added, standardised

PRIOR = "prior"
"""The contribution of what is known of an item apart from all channels."""

LARGEST = 4.0
"""Of a weight's logarithm: a gate that training saw little of must not run away."""


@dataclass(frozen=True)
class Gates:
    """What training finds. C channels, in the order of ``FusionScorer.channels``.

    Args:
        base: logarithm of each weight, (C,).
        user: its change by the features of the user, (C, USER).
        item: its change by the features of the item, (C, ITEM).
        unknown: contribution of a channel that knows nothing of an item, (C,).
        prior: contribution of the features of the item, (ITEM,).
    """

    base: Scores
    user: Scores
    item: Scores
    unknown: Scores
    prior: Scores

    @classmethod
    def start(cls, channels: int) -> Self:
        """Equal small weights and no gate."""
        return cls(
            np.full(channels, -1, np.float32),
            np.zeros((channels, len(USER)), np.float32),
            np.zeros((channels, len(ITEM)), np.float32),
            np.zeros(channels, np.float32),
            np.zeros(len(ITEM), np.float32),
        )


class FusionScorer:
    """The trained sum.

    Args:
        channels: names, in the order of the gates.
        gates: what training found.
    """

    def __init__(self, channels: tuple[str, ...], gates: Gates) -> None:
        self.channels = channels
        self.gates = gates

    def __call__(self, channels: Mapping[str, Scores], user: Scores, items: Scores) -> Scored:
        """Combine; of a channel that is absent every item counts as unknown."""
        contributions = {}
        for at, name in enumerate(self.channels):
            if name not in channels:
                continue  # a constant for all candidates moves nothing
            found = standardised(channels[name])
            values = self._weights(at, user, items) * found.values
            contributions[name] = np.where(found.known, values, self.gates.unknown[at]).astype(np.float32)
        contributions[PRIOR] = np.asarray(items @ self.gates.prior, np.float32)
        return added(contributions, len(items))

    def slope(self, name: str, scores: Scores, user: Scores, items: Scores) -> Scores:
        """The weight, over the spread of the scores, less where they stand out."""
        weights = self._weights(self.channels.index(name), user, items)
        return np.asarray(weights * standardised(scores).slope, np.float32)

    def uses(self, name: str) -> bool:
        """Whether it was trained with the channel."""
        return name in self.channels

    def only(self, channels: Collection[str]) -> FusionScorer:
        """The same without the channels that are not among ``channels``."""
        kept = [at for at, name in enumerate(self.channels) if name in channels]
        parts = {
            field.name: getattr(self.gates, field.name)[kept]
            for field in fields(Gates)
            if field.name != "prior"
        }
        return FusionScorer(tuple(self.channels[at] for at in kept), Gates(prior=self.gates.prior, **parts))

    def weights(self, user: Scores, items: Scores) -> dict[str, Scores]:
        """The weight of each channel, (candidates,)."""
        return {name: self._weights(at, user, items) for at, name in enumerate(self.channels)}

    def state(self) -> Arrays:
        """The gates by name."""
        return {field.name: getattr(self.gates, field.name) for field in fields(Gates)}

    @classmethod
    def restore(cls, channels: tuple[str, ...], state: Arrays) -> Self:
        """Read back what :meth:`state` gave."""
        found = {field.name: state[field.name].astype(np.float32) for field in fields(Gates)}
        return cls(channels, Gates(**found))

    def _weights(self, at: int, user: Scores, items: Scores) -> Scores:
        gates = self.gates
        logarithm = gates.base[at] + gates.user[at] @ user + items @ gates.item[at]
        return np.asarray(np.exp(np.minimum(logarithm, LARGEST)), np.float32)
