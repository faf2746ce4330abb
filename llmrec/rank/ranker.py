"""The ranker: channels and scorer over one catalog, trained together and kept in one folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from llmrec.config import RankSettings
from llmrec.errors import CorruptFileError
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Channel, ChannelType, Scores, Taste
from llmrec.rank.linear import Linear
from llmrec.rank.log import Log, Rows
from llmrec.rank.popularity import Popularity, top
from llmrec.rank.scorer import WeightedScorer
from llmrec.rank.semantic import Semantic

CHANNELS: dict[str, ChannelType] = {"linear": Linear, "semantic": Semantic, "popularity": Popularity}
"""Every channel, by the name that ``[rank] weights`` uses."""

TENSORS = "channels.safetensors"
CARD = "channels.json"


@dataclass(frozen=True, slots=True)
class Ranked:
    """One ranked row and what each channel contributed."""

    row: int
    score: float
    contributions: Mapping[str, float]


class _Card(BaseModel):
    """What the tensors are of: a digest of the catalog's item ids, and the channels in their order."""

    model_config = ConfigDict(extra="forbid")

    items: str
    channels: list[str]


class Ranker:
    """Scores a catalog for a taste."""

    def __init__(self, catalog: Catalog, channels: Iterable[Channel], settings: RankSettings) -> None:
        self.catalog = catalog
        self.channels = tuple(channels)
        self.settings = settings
        self._scorer = WeightedScorer(settings.weights)
        self._asked_scorer = WeightedScorer(settings.weights | {Semantic.name: settings.query_weight})

    @classmethod
    def fit(
        cls, catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()
    ) -> Ranker:
        """Train every channel on a log."""
        channels = [kind.fit(catalog, log, settings, progress) for kind in CHANNELS.values()]
        return cls(catalog, channels, settings)

    def save(self, folder: Path) -> None:
        """Write the trained state into an empty folder."""
        tensors = {
            f"{channel.name}.{name}": np.ascontiguousarray(array)
            for channel in self.channels
            for name, array in channel.state().items()
        }
        save_file(tensors, folder / TENSORS)
        card = _Card(items=_identity(self.catalog), channels=[channel.name for channel in self.channels])
        (folder / CARD).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, catalog: Catalog, settings: RankSettings) -> Ranker:
        """Read back what :meth:`save` wrote for the same catalog.

        Raises:
            CorruptFileError: a file is missing, damaged, or made for another catalog.
        """
        with _named(folder / CARD) as path:
            card = _Card.model_validate_json(path.read_bytes())
            kinds = {name: CHANNELS[name] for name in card.channels}
            if card.items != _identity(catalog):
                raise ValueError("made for other items than the catalog holds")
        with _named(folder / TENSORS) as path:
            tensors = load_file(path)
            channels = [
                kind.restore(catalog, _state(tensors, name), settings) for name, kind in kinds.items()
            ]
        return cls(catalog, channels, settings)

    def rank(self, taste: Taste, k: int, hidden: Rows, allowed: Rows | None = None) -> list[Ranked]:
        """The best ``k`` rows, best first; equal scores by row.

        Args:
            taste: whose ranking.
            k: how many at most.
            hidden: rows to leave out (seen, excluded).
            allowed: the only rows to consider; None for all.
        """
        rows = self._candidates(taste, k + len(hidden), allowed)
        scored = self._scorer_for(taste)(self._channel_scores(taste, rows))
        shown = ~np.isin(rows, hidden)
        if allowed is not None:
            shown &= np.isin(rows, allowed)
        positions = np.flatnonzero(shown)
        if not len(scored.total):  # no channel knows anything of this taste: the catalog's order
            return [Ranked(int(rows[position]), 0.0, {}) for position in positions[:k]]
        best = positions[top(scored.total[positions], k)]
        return [
            Ranked(
                int(rows[at]),
                float(scored.total[at]),
                {name: float(values[at]) for name, values in scored.contributions.items()},
            )
            for at in best
        ]

    def nearest(self, vector: Scores, k: int, hidden: Rows) -> list[Ranked]:
        """The ``k`` rows nearest to a unit vector, best first; scores are cosines."""
        channel, taste = Semantic(self.catalog), Taste(vector=vector)
        rows = np.arange(len(self.catalog)) if self.catalog.exact else channel.propose(taste, k + len(hidden))
        rows = rows[~np.isin(rows, hidden)]
        cosines = self.catalog.vectors(rows) @ vector
        return [
            Ranked(int(rows[at]), float(cosines[at]), {channel.name: float(cosines[at])})
            for at in top(cosines, k)
        ]

    def influence(self, taste: Taste, row: int) -> Scores:
        """What each history item adds to the score of ``row``, in units of the score, (history,)."""
        total = np.zeros(len(taste.history), np.float32)
        rows = self._candidates(taste, self.settings.candidates, None)
        scorer = self._scorer_for(taste)
        for channel in self._active(taste):
            influence = channel.influence(taste, row)
            scores = None if influence is None else channel.score(taste, rows)
            if influence is not None and scores is not None:
                total += np.float32(scorer.slope(channel.name, scores)) * influence
        return total

    def _scorer_for(self, taste: Taste) -> WeightedScorer:
        return self._asked_scorer if taste.asked else self._scorer

    def _active(self, taste: Taste) -> list[Channel]:
        """The channels that have a weight: what a channel without one would compute adds nothing."""
        return [channel for channel in self.channels if channel.name in self._scorer_for(taste).weights]

    def _channel_scores(self, taste: Taste, rows: Rows) -> dict[str, Scores]:
        scores = {}
        for channel in self._active(taste):
            found = channel.score(taste, rows)
            if found is not None:
                scores[channel.name] = found
        return scores

    def _candidates(self, taste: Taste, wanted: int, allowed: Rows | None) -> Rows:
        if self.catalog.exact:
            return np.arange(len(self.catalog))
        count = max(self.settings.candidates, 2 * wanted)
        proposed = [channel.propose(taste, count) for channel in self._active(taste)]
        if allowed is not None:
            proposed.append(allowed[:count])
        return np.unique(np.concatenate([np.empty(0, np.intp), *proposed]))


def _identity(catalog: Catalog) -> str:
    return hashlib.sha256(json.dumps(catalog.ids).encode()).hexdigest()


def _state(tensors: Mapping[str, NDArray[np.generic]], name: str) -> dict[str, NDArray[np.generic]]:
    prefix = f"{name}."
    return {key.removeprefix(prefix): array for key, array in tensors.items() if key.startswith(prefix)}


@contextmanager
def _named(path: Path) -> Iterator[Path]:
    """Whatever goes wrong in reading ``path`` becomes an error that names it."""
    try:
        yield path
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CorruptFileError(
            f"{path}: cannot be read: {error}", "Run `llmrec index CATALOG --rebuild`."
        ) from error
