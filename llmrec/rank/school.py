"""Where rankers are trained: the scorer on practice, then every channel on the whole log.

Indexing trains one ranker. An evaluation and a search for settings train many that differ a little, and what
they have in common is trained once.
"""

from __future__ import annotations

from collections import OrderedDict

from llmrec.config import RankSettings
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.fusion import FusionScorer
from llmrec.rank.lessons import Lessons, UserVectors, lessons
from llmrec.rank.log import Log
from llmrec.rank.panel import Kept, Panel
from llmrec.rank.practice import Practice, practice

_Lessons = tuple[Catalog, Log, str]
"""What lessons are known by: the catalog, the log, and the settings."""


class School:
    """Trains channels and scorer.

    Args:
        vectors: makes users' text into vectors, for the scorer to learn what they are worth; None leaves
            ``semantic`` without a say.
        remembered: how many lessons are kept for rankers that share them; some 100 MB each.
    """

    def __init__(self, vectors: UserVectors | None = None, remembered: int = 1) -> None:
        self.vectors = vectors
        self.remembered = remembered
        self._kept = Kept()
        self._held: dict[tuple[Log, int], Practice | None] = {}
        self._lessons: OrderedDict[_Lessons, Lessons | None] = OrderedDict()
        self._scorers: dict[tuple[_Lessons, tuple[str, ...], bool], FusionScorer] = {}

    def __call__(
        self,
        catalog: Catalog,
        log: Log,
        settings: RankSettings,
        progress: Progress = NoProgress(),
        without: tuple[str, ...] = (),
        gated: bool | None = None,
    ) -> tuple[Panel, FusionScorer | None]:
        """All channels, and the scorer over those whose names do not begin with any of ``without``.

        Args:
            gated: whether weights depend on user and item; None: as ``[rank] fusion`` says.

        Returns:
            The scorer is None where the settings want none, or the log has too few users to learn from.

        Raises:
            TrainingError: a loss became NaN; names the channel and the epoch.
            ConfigError: a setting does not suit the log.
        """
        gated = settings.fusion == "learned" if gated is None else gated
        scorer = None
        if settings.fusion != "weighted":
            scorer = self._scorer(catalog, log, settings, progress, without, gated)
        return Panel.fit(catalog, log, settings, progress, self._kept), scorer

    def _scorer(
        self,
        catalog: Catalog,
        log: Log,
        settings: RankSettings,
        progress: Progress,
        without: tuple[str, ...],
        gated: bool,
    ) -> FusionScorer | None:
        known_by = catalog, log, settings.model_dump_json()
        names = tuple(name for name in settings.channels if not name.startswith(without))
        found = self._scorers.get((known_by, names, gated))
        taught = None if found else self._taught(known_by, settings, progress)
        if taught:
            found = self._scorers[known_by, names, gated] = taught.scorer(names, gated, progress)
        return found

    def _taught(self, known_by: _Lessons, settings: RankSettings, progress: Progress) -> Lessons | None:
        if known_by not in self._lessons:
            catalog, log, _ = known_by
            if (log, settings.seed) not in self._held:
                self._held[log, settings.seed] = practice(log, settings.seed)
            held = self._held[log, settings.seed]
            while len(self._lessons) >= self.remembered:
                self._lessons.popitem(last=False)
            self._lessons[known_by] = (
                lessons(catalog, held, settings, self.vectors, progress, self._kept) if held else None
            )
        return self._lessons[known_by]
