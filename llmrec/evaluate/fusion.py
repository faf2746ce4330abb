"""The recommender itself as a model of the evaluation, whole and with parts removed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from llmrec.config import LEFT_OUT, RankSettings
from llmrec.evaluate.buckets import by_history, by_item_age
from llmrec.evaluate.model import Setting
from llmrec.evaluate.split import Split
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.fields import FIELDS
from llmrec.rank.lessons import Lessons, UserVectors, lessons
from llmrec.rank.log import Log
from llmrec.rank.panel import Panel
from llmrec.rank.practice import practice
from llmrec.rank.ranker import Ranker
from llmrec.rank.semantic import Semantic
from llmrec.schema import MODALITIES, Modality

REMOVED = "without "
"""Begins the name of an ablation."""

Taught = tuple[Lessons | None, Panel]
"""The scorer's lessons, and the channels trained on the whole log."""


@dataclass
class Trained:
    """Channels trained once for each log and seed, and the scorers over them, since variants share them.

    Args:
        settings: of the workspace.
        vectors: makes users' text into vectors.
        blind_to: a modality of which the channels know nothing.
    """

    settings: RankSettings
    vectors: UserVectors | None
    blind_to: Modality | None = None
    _taught: dict[tuple[Log, int], Taught] = field(default_factory=dict)
    _rankers: dict[tuple[Log, int, tuple[str, ...], bool], Ranker] = field(default_factory=dict)

    def ranker(
        self, catalog: Catalog, log: Log, seed: int, without: tuple[str, ...], gated: bool, progress: Progress
    ) -> Ranker:
        """A ranker of the channels whose names do not begin with any of ``without``."""
        key = log, seed, without, gated
        if key not in self._rankers:
            taught, panel = self._teach(catalog, log, seed, progress)
            channels = [name for name in panel.channels if not name.startswith(without)]
            scorer = taught.scorer(channels, gated, progress) if taught else None
            self._rankers[key] = Ranker(panel, scorer)
        return self._rankers[key]

    def _teach(self, catalog: Catalog, log: Log, seed: int, progress: Progress) -> Taught:
        if (log, seed) not in self._taught:
            settings = self.settings.model_copy(update={"seed": seed})
            known = catalog.without(self.blind_to) if self.blind_to else catalog
            held = practice(log, seed)
            taught = lessons(known, held, settings, self.vectors, progress) if held else None
            self._taught[log, seed] = taught, Panel.fit(known, log, settings, progress)
        return self._taught[log, seed]


@dataclass(frozen=True)
class Fusion:
    """The recommender with all of its channels, or some.

    Args:
        name: as the report calls it.
        trained: the channels, shared.
        without: beginnings of the names of channels that are left out.
        gated: whether weights depend on user and item.
    """

    name: str
    trained: Trained
    without: tuple[str, ...] = ()
    gated: bool = True
    grid: Sequence[Setting] = ({},)

    def fit(self, catalog: Catalog, log: Log, setting: Setting, seed: int, progress: Progress) -> Ranker:
        """Train the scorer, and the channels where no variant before has.

        Raises:
            TrainingError: a loss became NaN; names the channel.
        """
        return self.trained.ranker(catalog, log, seed, self.without, self.gated, progress)


def fusion_models(
    settings: RankSettings, vectors: UserVectors | None, catalog: Catalog
) -> tuple[list[Fusion], list[Fusion]]:
    """The scorer (``fusion``) with early and late fusion beside, and each channel and modality removed.

    Removed are channels that could know something of the catalog, and modalities that it has. Those are left
    in where the catalog is too large for its vectors to be held in memory.

    Args:
        settings: of the workspace; all that is trained is the scorer's.
        vectors: makes users' text into vectors.
        catalog: that is ranked.
    """
    learned = settings.model_copy(update={"fusion": "learned"})
    trained = Trained(learned, vectors)
    present = _modalities(catalog)
    absent = _silent(present)
    compared = [
        Fusion("fusion", trained),
        *(Fusion(f"fusion, {kind}", trained, without=names, gated=False) for kind, names in LEFT_OUT.items()),
    ]
    removed = [
        *(Fusion(f"{REMOVED}{name}", trained, (name,)) for name in learned.channels if name not in absent),
        *(_without(name, learned, vectors) for name in present),
    ]
    return compared, removed


def weights(ranker: Ranker, split: Split) -> dict[str, dict[str, float]]:
    """What each channel weighs in the choices that users made: by circumstance, the mean over cases.

    Circumstances are ``all`` and the buckets of :mod:`llmrec.evaluate.buckets`. Channels of modalities that
    no item has are left out. Empty without a trained scorer.
    """
    scorer = ranker.fusion
    if scorer is None:
        return {}
    cases = []
    for case in split.cases:
        found = scorer.weights(**ranker.panel.gate(split.taste(case), case.targets))
        cases.append([of.mean() for of in found.values()])
    by_case = np.array(cases)
    circumstances = {
        "all": np.arange(len(by_case)),
        **{f"history of {bucket.name}": bucket.cases for bucket in by_history(split)},
        **{f"item: {bucket.name}": bucket.cases for bucket in by_item_age(split)},
    }
    silent = _silent(_modalities(ranker.catalog))
    return {
        name: {
            channel: weight
            for channel, weight in zip(scorer.channels, by_case[of].mean(axis=0).tolist(), strict=True)
            if channel not in silent
        }
        for name, of in circumstances.items()
    }


def _modalities(catalog: Catalog) -> list[Modality]:
    """Those that items have; none of a catalog whose vectors are not in memory."""
    return [name for name in MODALITIES if catalog.exact and catalog.field(name)[1].any()]


def _silent(present: Collection[Modality]) -> set[str]:
    """Channels that know of no item."""
    return set(FIELDS) - {f"fields.{name}" for name in present}


def _without(modality: Modality, settings: RankSettings, vectors: UserVectors | None) -> Fusion:
    """The scorer over channels that know nothing of a modality; users' texts are made of items' texts."""
    if modality == "text":
        blind = Trained(settings, None, modality)
        return Fusion(f"{REMOVED}all text", blind, (f"fields.{modality}", Semantic.name))
    return Fusion(f"{REMOVED}all {modality}s", Trained(settings, vectors, modality), (f"fields.{modality}",))
