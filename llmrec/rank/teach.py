"""The fusion scorer is taught: channels are trained on a part of the log, and asked about the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from llmrec.config import RankSettings
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores
from llmrec.rank.fusion import FusionScorer
from llmrec.rank.learning import Example, example, learn
from llmrec.rank.log import Log, Rows
from llmrec.rank.panel import Panel
from llmrec.rank.practice import Practice, practice

UserVectors = Callable[[Sequence[tuple[str, Rows]]], Scores]
"""Unit vectors (users, dimension) of the texts of users, given by id and history, the newest item first."""


def teach(
    catalog: Catalog,
    log: Log,
    settings: RankSettings,
    vectors: UserVectors | None,
    progress: Progress,
) -> FusionScorer | None:
    """Train the scorer on what users chose last; None where the log has too few users to learn from.

    Args:
        vectors: makes users' text into vectors; None leaves ``semantic`` without a say.

    Raises:
        TrainingError: a loss became NaN; names the channel, or the scorer.
    """
    held = practice(log, settings.seed)
    if held is None:
        return None
    panel = Panel.fit(catalog, held.log, settings, progress)
    names = tuple(panel.channels)
    examples = examples_of(panel, held, vectors, settings.seed, progress)
    return FusionScorer(names, learn(examples, settings.fusion == "learned", settings.seed, progress))


def examples_of(
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
    with progress.task("Asking the channels", total=len(held.users), unit="users") as task:
        for at, target in enumerate(held.targets.tolist()):
            taste = held.taste(at, None if texts is None else texts[at])
            rows = np.union1d(panel.candidates(taste, 0), [target])
            rows = rows[~np.isin(rows, taste.history)]
            place = int(np.searchsorted(rows, target))
            examples.append(
                example(names, panel.scores(taste, rows), **panel.gate(taste, rows), target=place, rng=rng)
            )
            task.advance()
    return examples
