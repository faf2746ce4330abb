"""The recommender itself as a model of the evaluation, whole and with parts removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from llmrec.config import LEFT_OUT, RankSettings
from llmrec.evaluate.model import Fitted, Setting
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.lessons import Lessons, UserVectors, lessons
from llmrec.rank.log import Log
from llmrec.rank.panel import Panel
from llmrec.rank.ranker import Ranker

REMOVED = "without "
"""Begins the name of an ablation."""


@dataclass
class Trained:
    """Channels trained once for each log and seed, since the scorer's variants share them.

    Args:
        settings: of the workspace.
        vectors: makes users' text into vectors.
    """

    settings: RankSettings
    vectors: UserVectors | None
    _kept: list[tuple[Log, int, tuple[Lessons | None, Panel]]] = field(default_factory=list)

    def __call__(
        self, catalog: Catalog, log: Log, seed: int, progress: Progress
    ) -> tuple[Lessons | None, Panel]:
        """The scorer's lessons, and the channels trained on the whole log."""
        for kept, by, found in self._kept:
            if kept is log and by == seed:
                return found
        settings = self.settings.model_copy(update={"seed": seed})
        taught = lessons(catalog, log, settings, self.vectors, progress)
        found = taught, Panel.fit(catalog, log, settings, progress)
        self._kept.append((log, seed, found))
        return found


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

    def fit(self, catalog: Catalog, log: Log, setting: Setting, seed: int, progress: Progress) -> Fitted:
        """Train the scorer, and the channels where no variant before has.

        Raises:
            TrainingError: a loss became NaN; names the channel.
        """
        taught, panel = self.trained(catalog, log, seed, progress)
        channels = [name for name in panel.channels if not name.startswith(self.without)]
        scorer = taught.scorer(channels, self.gated, progress) if taught else None
        return Ranker(panel, scorer)


def fusion_models(settings: RankSettings, vectors: UserVectors | None) -> tuple[list[Fusion], list[Fusion]]:
    """The scorer (``fusion``) with early and late fusion beside, and each channel removed in turn.

    Args:
        settings: of the workspace; all that is trained is the scorer's.
    """
    learned = settings.model_copy(update={"fusion": "learned"})
    trained = Trained(learned, vectors)
    compared = [
        Fusion("fusion", trained),
        *(Fusion(f"fusion, {kind}", trained, without=names, gated=False) for kind, names in LEFT_OUT.items()),
    ]
    removed = [
        Fusion(f"{REMOVED}{name}", trained, without=(name,))
        for name in learned.channels
        if name not in ("fields.picture", "fields.sound")
    ]
    return compared, removed
