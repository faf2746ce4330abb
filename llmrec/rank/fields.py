"""Channels ``fields.text``, ``fields.picture``, ``fields.sound``: how near an item is in one modality alone.

Late fusion: what pictures show is compared with what pictures showed, speech with speech, and the scorer
weighs the modalities, where the whole document has fused them before it was encoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from llmrec.config import RankSettings
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, ChannelType, Scores, Taste
from llmrec.rank.log import Log, Rows
from llmrec.rank.top import top
from llmrec.schema import MODALITIES, Modality

_NEWEST = 20
"""Items of a history that are looked at."""


class Field:
    """Cosine, -1 to 1, between an item's vector of one modality and the history's mean in that modality.

    The newest 20 items count, each by 1 / (1 + its place from the newest). It needs no log.
    """

    def __init__(self, catalog: Catalog, modality: Modality) -> None:
        self.catalog = catalog
        self.modality = modality
        self.name = f"fields.{modality}"

    def state(self) -> Arrays:
        """Empty."""
        return {}

    def score(self, taste: Taste, rows: Rows) -> Scores | None:
        """The cosines, NaN for an item without the modality; None where the history has none of it."""
        parts = self._parts(taste)
        if parts is None:
            return None
        vectors, known = self.catalog.field_vectors(self.modality, rows)
        scores: Scores = vectors @ parts.sum(axis=0)
        scores[~known] = np.nan
        return scores

    def propose(self, taste: Taste, count: int) -> Rows:
        """The nearest rows that have the modality.

        Of a catalog too large to score whole they are chosen among the items whose whole documents are
        nearest, by the ANN index: no modality has an index of its own.
        """
        parts = self._parts(taste)
        if parts is None:
            return np.empty(0, np.intp)
        if self.catalog.exact:
            rows = np.arange(len(self.catalog))
        else:
            rows = self.catalog.rows(self.catalog.table.nearest(parts.sum(axis=0), 2 * count)[0])
        vectors, known = self.catalog.field_vectors(self.modality, rows)
        return rows[known][top(vectors[known] @ parts.sum(axis=0), count)]

    def influence(self, taste: Taste, row: int) -> Scores | None:
        """Each history item's part of the cosine; None where the item or the history lacks the modality."""
        parts = self._parts(taste)
        (target,), (known,) = self.catalog.field_vectors(self.modality, np.array([row], np.intp))
        if parts is None or not known:
            return None
        influence = np.zeros(len(taste.history), np.float32)
        influence[: len(parts)] = parts @ target
        return influence

    def _parts(self, taste: Taste) -> Scores | None:
        """What each of the newest items adds to the unit vector of the taste, (items, dimension)."""
        vectors, known = self.catalog.field_vectors(self.modality, taste.history[:_NEWEST])
        weights = known / np.arange(1, len(known) + 1, dtype=np.float32)
        parts: Scores = (vectors * weights[:, None]).astype(np.float32)
        length = np.linalg.norm(parts.sum(axis=0))
        return parts / length if length > np.finfo(np.float32).eps else None


@dataclass(frozen=True, slots=True)
class FieldType:
    """The channel of one modality; nothing of it is trained, since the encoder is."""

    modality: Modality
    settings: ClassVar[tuple[str, ...]] = ()

    def fit(
        self, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()
    ) -> Field:
        """Nothing to train."""
        return Field(catalog, self.modality)

    def restore(self, catalog: Catalog, state: Arrays, settings: RankSettings) -> Field:
        """Nothing to read back."""
        return Field(catalog, self.modality)


FIELDS: dict[str, ChannelType] = {f"fields.{modality}": FieldType(modality) for modality in MODALITIES}
"""The channels of this module by name."""
