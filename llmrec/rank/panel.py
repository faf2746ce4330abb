"""The panel: all channels over one catalog, asked the same question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

import numpy as np

from llmrec.config import RankSettings
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Channel, ChannelType, Scores, Taste
from llmrec.rank.factors import Factors
from llmrec.rank.features import Features
from llmrec.rank.fields import FIELDS
from llmrec.rank.itemknn import ItemKnn
from llmrec.rank.linear import Linear
from llmrec.rank.log import Log, Rows
from llmrec.rank.popularity import Popularity
from llmrec.rank.recent import Recency, Recent
from llmrec.rank.semantic import Semantic
from llmrec.rank.sequence import Sequence

CHANNELS: dict[str, ChannelType] = {
    "sequence": Sequence,
    "itemknn": ItemKnn,
    "linear": Linear,
    "factors": Factors,
    "semantic": Semantic,
    **FIELDS,
    "popularity": Popularity,
    "recent": Recent,
    "recency": Recency,
}
"""Every channel, by the name that ``[rank] weights`` uses."""


class Kept:
    """Channels that were trained before: while settings are searched, most of them stay as they are."""

    def __init__(self) -> None:
        self._channels: dict[tuple[object, ...], Channel] = {}

    def fit(
        self, name: str, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress
    ) -> Channel:
        """The channel, trained unless it was on the same log by the same settings."""
        kind = CHANNELS[name]
        key = (name, catalog, log, *(getattr(settings, setting) for setting in kind.settings))
        if key not in self._channels:
            self._channels[key] = kind.fit(catalog, log, settings, progress)
        return self._channels[key]


class Panel:
    """Channels and what the scorer's gate sees, over one catalog."""

    def __init__(
        self, catalog: Catalog, channels: Iterable[Channel], features: Features, settings: RankSettings
    ) -> None:
        self.catalog = catalog
        self.channels = {channel.name: channel for channel in channels}
        self.features = features
        self.settings = settings

    @classmethod
    def fit(
        cls,
        catalog: Catalog,
        log: Log,
        settings: RankSettings,
        progress: Progress,
        kept: Kept | None = None,
    ) -> Self:
        """Train every channel that is switched on, but for those that are ``kept``.

        Raises:
            TrainingError: a channel's loss became NaN; names it.
            ConfigError: a setting does not suit the log.
        """
        kept = kept or Kept()
        channels = [kept.fit(name, catalog, log, settings, progress) for name in settings.channels]
        return cls(catalog, channels, Features.fit(catalog, log), settings)

    def scores(self, taste: Taste, rows: Rows, names: Iterable[str] | None = None) -> dict[str, Scores]:
        """What each channel, or each of ``names``, says of ``rows``; those that say nothing are left out."""
        asked = self.channels if names is None else names
        # In memory, scoring all items takes less time than a copy of the vectors of most of them.
        whole = self.catalog.exact and 2 * len(rows) > len(self.catalog)
        scored = np.arange(len(self.catalog)) if whole else rows
        found = {name: self.channels[name].score(taste, scored) for name in asked}
        return {
            name: scores[rows] if whole else scores for name, scores in found.items() if scores is not None
        }

    def candidates(
        self, taste: Taste, wanted: int = 0, allowed: Rows | None = None, also: Rows | None = None
    ) -> Rows:
        """Rows worth scoring, ascending: all of an exact catalog, else what channels propose.

        Args:
            taste: for whom.
            wanted: how many will be asked for.
            allowed: the only rows that may be answered; some of them are among the candidates.
            also: rows that are among the candidates in any case.
        """
        if self.catalog.exact:
            return np.arange(len(self.catalog))
        count = max(self.settings.candidates, 2 * wanted)
        proposed = [channel.propose(taste, count) for channel in self.channels.values()]
        if allowed is not None:
            proposed.append(allowed[:count])
        if also is not None:
            proposed.append(also)
        return np.unique(np.concatenate([np.empty(0, np.intp), *proposed]))

    def gate(self, taste: Taste, rows: Rows) -> Mapping[str, Scores]:
        """Features of who asks (USER,) and of ``rows`` (rows, ITEM), as the scorer takes them."""
        return {"user": self.features.user(taste), "items": self.features.items(taste, rows)}
