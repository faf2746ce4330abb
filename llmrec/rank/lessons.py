"""The fusion scorer's lessons: channels are trained on a part of the log, and asked about the rest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from llmrec.config import RankSettings
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores
from llmrec.rank.fusion import FusionScorer
from llmrec.rank.learning import Example, example, learn
from llmrec.rank.log import Rows
from llmrec.rank.panel import Kept, Panel
from llmrec.rank.practice import Practice

UserVectors = Callable[[Sequence[tuple[str, Rows]]], Scores]
"""Unit vectors (users, dimension) of the texts of users, given by id and history, the newest item first."""


@dataclass(frozen=True)
class Lessons:
    """What the channels, trained on a part of the log, said of the choices that came next.

    Args:
        names: the channels.
        examples: one for each question, with all channels.
    """

    names: tuple[str, ...]
    examples: Sequence[Example]

    def scorer(self, names: Collection[str], gated: bool, progress: Progress) -> FusionScorer:
        """A scorer trained on ``names`` only; ``gated``: with weights that depend on user and item.

        Raises:
            TrainingError: its loss became NaN.
        """
        kept = [at for at, name in enumerate(self.names) if name in names]
        lists = [
            replace(example, values=example.values[kept], known=example.known[kept])
            for example in self.examples
        ]
        gates = learn(lists, gated, progress)
        return FusionScorer(tuple(self.names[at] for at in kept), gates)


def lessons(
    catalog: Catalog,
    held: Practice,
    settings: RankSettings,
    vectors: UserVectors | None,
    progress: Progress,
    kept: Kept | None = None,
) -> Lessons:
    """Train the channels on the part of a log that practice leaves, and ask them for what it holds back.

    Args:
        vectors: makes users' text into vectors; None leaves ``semantic`` without a say.
        kept: channels that need no training.

    Raises:
        TrainingError: a loss became NaN; names the channel.
    """
    panel = Panel.fit(catalog, held.log, settings, progress, kept)
    examples = _examples(panel, held, vectors, settings.seed, progress)
    return Lessons(tuple(panel.channels), examples)


def _examples(
    panel: Panel, held: Practice, vectors: UserVectors | None, seed: int, progress: Progress
) -> list[Example]:
    """What the channels say of each user's candidates, of which one was chosen."""
    rng, names = np.random.default_rng(seed), tuple(panel.channels)
    texts = None
    if vectors is not None:
        with progress.task("Encoding users", total=1, unit="steps") as task:
            texts = vectors(
                [(held.log.users[user], held.history(at)) for at, user in enumerate(held.users.tolist())]
            )
            task.advance()
    examples = []
    with progress.task("Asking the channels", total=len(held), unit="questions") as task:
        for at, target in enumerate(held.targets.tolist()):
            taste = held.taste(at, None if texts is None else texts[at])
            rows = panel.candidates(taste, also=held.targets[at : at + 1])
            rows = rows[~np.isin(rows, taste.history)]
            place = int(np.searchsorted(rows, target))
            examples.append(
                example(names, panel.scores(taste, rows), **panel.gate(taste, rows), target=place, rng=rng)
            )
            task.advance()
    return examples
