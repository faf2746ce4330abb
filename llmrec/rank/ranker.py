"""The ranker: channels and scorer over one catalog, trained together and kept in one folder."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from llmrec.config import RankSettings
from llmrec.errors import CorruptFileError
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, Scores, Taste
from llmrec.rank.features import NEW, Features
from llmrec.rank.fusion import FusionScorer
from llmrec.rank.lessons import UserVectors
from llmrec.rank.log import Log, Rows
from llmrec.rank.newness import Arrived, arrived, placed
from llmrec.rank.panel import CHANNELS, Panel
from llmrec.rank.school import School
from llmrec.rank.scorer import Scored, Scorer, WeightedScorer, added
from llmrec.rank.semantic import Semantic
from llmrec.rank.top import top

NEWNESS = "new"
"""The contribution that gives a new item its place among the others."""

_FEATURES, _GATES = "features", "gates"
TENSORS = "channels.safetensors"
CARD = "channels.json"
ITEMS = "items.json"


@dataclass(frozen=True, slots=True)
class Ranked:
    """One ranked row and what each channel contributed."""

    row: int
    score: float
    contributions: Mapping[str, float]


class _Card(BaseModel):
    """What the tensors are of.

    ``channels`` in their order; ``gates``: the scorer's, none where it was not trained; ``log``: fingerprint
    of what they were trained on; ``settings``: those that training depends on; ``new``: items that came later
    than the first ones and are not old yet, with the time.
    """

    model_config = ConfigDict(extra="forbid")

    channels: list[str]
    gates: list[str]
    log: str
    settings: dict[str, Any]
    new: dict[str, float]


class Ranker:
    """Ranks a catalog for a taste.

    Args:
        panel: the channels.
        scorer: the trained scorer; None: channels are weighed as the settings say.
        log: fingerprint of the log that they were trained on.
        new: items that are new to the catalog.
    """

    def __init__(
        self, panel: Panel, scorer: FusionScorer | None, log: str = "", new: Arrived | None = None
    ) -> None:
        self.panel = panel
        self.catalog, self.settings = panel.catalog, panel.settings
        self.fusion = scorer
        self.log = log
        self.new = new or {}
        self._scorer: Scorer = scorer or WeightedScorer(self.settings.weights)
        asked = self.settings.weights | {Semantic.name: self.settings.query_weight}
        self._asked_scorer = WeightedScorer(asked)

    @classmethod
    def fit(
        cls,
        catalog: Catalog,
        log: Log,
        settings: RankSettings,
        vectors: UserVectors | None = None,
        progress: Progress = NoProgress(),
        new: Arrived | None = None,
    ) -> Ranker:
        """Train the scorer, then every channel, on a log.

        Args:
            vectors: makes users' text into vectors, for the scorer to learn what they are worth.
            new: items that are new to the catalog; see :meth:`arrivals`.

        Raises:
            TrainingError: a loss became NaN; names the channel and the epoch.
        """
        log = replace(log, new=np.sort(catalog.rows([*(new or {})])))
        panel, scorer = School(vectors)(catalog, log, settings, progress)
        return cls(panel, scorer, log.fingerprint(catalog.ids), new)

    def save(self, folder: Path) -> None:
        """Write the trained state into an empty folder."""
        states = {name: channel.state() for name, channel in self.panel.channels.items()}
        states[_FEATURES] = self.panel.features.state()
        states[_GATES] = self.fusion.state() if self.fusion else {}
        tensors = {
            f"{owner}/{name}": np.ascontiguousarray(array)
            for owner, state in states.items()
            for name, array in state.items()
        }
        save_file(tensors, folder / TENSORS)
        card = _Card(
            channels=[*self.panel.channels],
            gates=[*self.fusion.channels] if self.fusion else [],
            log=self.log,
            settings=self.settings.training,
            new=dict(self.new),
        )
        (folder / CARD).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
        (folder / ITEMS).write_text(json.dumps(self.catalog.ids), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, catalog: Catalog, settings: RankSettings, now: float | None = None) -> Ranker:
        """Read back what :meth:`save` wrote, for the same catalog or a later version of it.

        Channels that the settings switch off are left out; items that are not in the catalog of that time are
        new at ``now``, seconds since the epoch (None: the present).

        Raises:
            CorruptFileError: a file is missing or damaged.
        """
        card = _card(folder)
        with _named(folder / ITEMS) as path:
            ids = json.loads(path.read_bytes())
            moved = np.array([catalog.row_of.get(item, -1) for item in ids], np.int64)
        new = _arrivals(ids, card, catalog, settings, now)
        with _named(folder / TENSORS) as path:
            tensors = load_file(path)
            channels = [
                CHANNELS[name].restore(catalog, _state(tensors, name, moved), settings)
                for name in card.channels
                if name in settings.channels
            ]
            rows = catalog.rows([*new])
            features = Features.restore(catalog, _state(tensors, _FEATURES, moved), rows)
            gates = tuple(card.gates)
            scorer = FusionScorer.restore(gates, _state(tensors, _GATES, moved)) if gates else None
        if scorer is not None:
            scorer = scorer.only(settings.channels) if settings.fusion != "weighted" else None
        return cls(Panel(catalog, channels, features, settings), scorer, card.log, new)

    @staticmethod
    def arrivals(folder: Path, catalog: Catalog, settings: RankSettings, now: float | None = None) -> Arrived:
        """The items of ``catalog`` that are new at ``now``, given the ranker of the catalog before it.

        Raises:
            CorruptFileError: a file is missing or damaged.
        """
        with _named(folder / ITEMS) as path:
            before = json.loads(path.read_bytes())
        return _arrivals(before, _card(folder), catalog, settings, now)

    @staticmethod
    def serves(folder: Path, log: str, settings: RankSettings) -> bool:
        """Whether what is kept there was trained on the log of that fingerprint, by equal settings.

        Raises:
            CorruptFileError: it cannot be read.
        """
        return _card(folder).log == log and Ranker.trained_by(folder, settings)

    @staticmethod
    def trained_by(folder: Path, settings: RankSettings) -> bool:
        """Whether what is kept there was trained by equal settings, whatever the log.

        Raises:
            CorruptFileError: it cannot be read.
        """
        card = _card(folder)
        return card.settings == settings.training and set(settings.channels) <= set(card.channels)

    def rank(self, taste: Taste, k: int, hidden: Rows, allowed: Rows | None = None) -> list[Ranked]:
        """The best ``k`` rows, best first; equal scores by row.

        Args:
            taste: whose ranking.
            k: how many at most.
            hidden: rows to leave out (seen, excluded).
            allowed: the only rows to consider; None for all.
        """
        rows = self.panel.candidates(taste, k + len(hidden), allowed)
        rows = rows[~np.isin(rows, hidden)]
        channels = self._channel_scores(taste, rows)
        scored = self._scored(taste, rows, channels)
        positions = np.arange(len(rows)) if allowed is None else np.flatnonzero(np.isin(rows, allowed))
        if not channels:  # none knows anything of this taste: the catalog's order
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

    def totals(self, taste: Taste, rows: Rows) -> Scores:
        """The scores of ``rows`` among themselves, (rows,); zeros where no channel knows anything."""
        return self._scored(taste, rows, self._channel_scores(taste, rows)).total

    def score(self, taste: Taste) -> Scores | None:
        """The score of every row, the history's the lowest; None where no channel knows anything."""
        rows = np.arange(len(self.catalog))
        rows = rows[~np.isin(rows, taste.history)]
        channels = self._channel_scores(taste, rows)
        if not channels:
            return None
        scored = self._scored(taste, rows, channels)
        scores = np.full(len(self.catalog), scored.total.min(initial=0), np.float32)
        scores[rows] = scored.total
        return scores

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

    def influences(self, taste: Taste, row: int) -> dict[str, Scores]:
        """About what each history item adds to the score of ``row`` by each channel, (history,) each.

        In units of the score, to first order; :class:`llmrec.rank.influence.LeavingOut` leaves items out.
        Channels without a part in it are absent.
        """
        found = {}
        rows = self.panel.candidates(taste, also=np.array([row], np.intp))
        rows = rows[~np.isin(rows, taste.history) | (rows == row)]
        place, gate = int(np.searchsorted(rows, row)), self.panel.gate(taste, rows)
        scorer = self._scorer_for(taste)
        for name, channel in self.panel.channels.items():
            influence = channel.influence(taste, row) if scorer.uses(name) else None
            scores = {} if influence is None else self.panel.scores(taste, rows, [name])
            if influence is not None and name in scores:
                found[name] = scorer.slope(name, scores[name], **gate)[place] * influence
        return found

    def _scored(self, taste: Taste, rows: Rows, channels: Mapping[str, Scores]) -> Scored:
        """The channels combined, and new items placed among the others, unless something else was asked."""
        gate = self.panel.gate(taste, rows)
        scored = self._scorer_for(taste)(channels, **gate)
        new = gate["items"][:, NEW] > 0
        if taste.asked or not new.any():
            return scored
        moved = placed(scored.total, new, self.settings.new_items, self.settings.new_limit) - scored.total
        return added({**scored.contributions, NEWNESS: moved}, len(rows))

    def _scorer_for(self, taste: Taste) -> Scorer:
        return self._asked_scorer if taste.asked else self._scorer

    def _channel_scores(self, taste: Taste, rows: Rows) -> dict[str, Scores]:
        """Of the channels that can move the score: what another would compute adds nothing."""
        scorer = self._scorer_for(taste)
        return self.panel.scores(taste, rows, [name for name in self.panel.channels if scorer.uses(name)])


def _arrivals(
    before: list[str], card: _Card, catalog: Catalog, settings: RankSettings, now: float | None
) -> Arrived:
    return arrived(before, card.new, catalog.ids, time.time() if now is None else now, settings.new_days)


def _card(folder: Path) -> _Card:
    with _named(folder / CARD) as path:
        card = _Card.model_validate_json(path.read_bytes())
        if unknown := set(card.channels) - set(CHANNELS):
            raise ValueError(f"no such channel: {', '.join(sorted(unknown))}")
    return card


def _state(tensors: Arrays, owner: str, moved: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
    """The arrays of one owner, with its rows in the present catalog."""
    prefix = f"{owner}/"
    state = {key.removeprefix(prefix): array for key, array in tensors.items() if key.startswith(prefix)}
    if "rows" in state:
        rows = state["rows"].astype(np.intp)
        state["rows"] = np.where(rows >= 0, moved[rows], -1) if len(moved) else rows
    return state


@contextmanager
def _named(path: Path) -> Iterator[Path]:
    """Whatever goes wrong in reading ``path`` becomes an error that names it."""
    try:
        yield path
    except (OSError, ValueError, KeyError, IndexError, TypeError, SafetensorError) as error:
        raise CorruptFileError(
            f"{path}: cannot be read: {error}", "Run `llmrec index CATALOG --rebuild`."
        ) from error
