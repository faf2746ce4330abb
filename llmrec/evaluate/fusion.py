"""The recommender itself as a model of the evaluation, whole and with parts removed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from llmrec.config import LEFT_OUT, RankSettings
from llmrec.evaluate.buckets import by_history, by_item_age
from llmrec.evaluate.model import Setting
from llmrec.evaluate.split import Split
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.fields import FIELDS
from llmrec.rank.lessons import UserVectors
from llmrec.rank.log import Log
from llmrec.rank.ranker import Ranker
from llmrec.rank.school import School
from llmrec.rank.semantic import Semantic
from llmrec.schema import MODALITIES, Modality

REMOVED = "without "
"""Begins the name of an ablation."""


@dataclass(frozen=True)
class Fusion:
    """The recommender with all of its channels, or some.

    Args:
        name: as the report calls it.
        settings: of the workspace.
        school: where it is trained; shared, since variants share their channels.
        without: beginnings of the names of channels that are left out.
        gated: whether weights depend on user and item.
        blind_to: a modality of which the channels know nothing.
    """

    name: str
    settings: RankSettings
    school: School
    without: tuple[str, ...] = ()
    gated: bool = True
    blind_to: Modality | None = None
    grid: Sequence[Setting] = ({},)

    def fit(self, catalog: Catalog, log: Log, setting: Setting, seed: int, progress: Progress) -> Ranker:
        """Train the scorer, and the channels where no variant before has.

        Raises:
            TrainingError: a loss became NaN; names the channel.
        """
        known = catalog.without(self.blind_to) if self.blind_to else catalog
        settings = self.settings.model_copy(update={"seed": seed})
        return Ranker(*self.school(known, log, settings, progress, self.without, self.gated))


def fusion_models(
    settings: RankSettings,
    vectors: UserVectors | None,
    catalog: Catalog,
    seeds: int,
    apart: bool = False,
) -> tuple[list[Fusion], list[Fusion]]:
    """The scorer (``fusion``) with early and late fusion beside, and each channel and modality removed.

    Removed are channels that could know something of the catalog, and modalities that it has. Those are left
    in where the catalog is too large for its vectors to be held in memory.

    Args:
        settings: of the workspace; all that is trained is the scorer's.
        vectors: makes users' text into vectors.
        catalog: that is ranked.
        seeds: how many each model will be trained with.
        apart: whether modalities are encoded by another encoder than users' texts, as with an adapter: with
            one removed ``semantic`` then has nothing to compare those with, and is left out too.
    """
    learned = settings.model_copy(update={"fusion": "learned"})
    school = School(vectors, remembered=seeds)
    present = _modalities(catalog)
    absent = _silent(present)
    compared = [
        Fusion("fusion", learned, school),
        *(Fusion(f"fusion, {kind}", learned, school, names, gated=False) for kind, names in LEFT_OUT.items()),
    ]
    removed = [
        *(
            Fusion(f"{REMOVED}{name}", learned, school, (name,))
            for name in learned.channels
            if name not in absent
        ),
        *(_without(name, learned, None if apart else vectors) for name in present),
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
    removed: tuple[str, ...] = (f"fields.{modality}",)
    if modality == "text" or vectors is None:
        removed, vectors = (*removed, Semantic.name), None
    name = f"{REMOVED}all {modality}{'' if modality == 'text' else 's'}"
    return Fusion(name, settings, School(vectors), removed, blind_to=modality)
