"""Validation of encoders on a workspace's log as it is now: what users chose next, asked of each."""

from __future__ import annotations

from collections.abc import Mapping

from llmrec.encode import Encoder
from llmrec.errors import AdapterError, TrainingError
from llmrec.evaluate.splits import SPLITS
from llmrec.evaluate.statistics import Values
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores
from llmrec.rank.log import Log
from llmrec.training.judge import Questions, choose_cases
from llmrec.training.settings import TrainingSettings
from llmrec.users import UserTexts
from llmrec.workspace import Workspace


class Validation:
    """Questions of the validation stage of a protocol: at most 2,000 users, the same for every encoder.

    Texts are what the workspace's encoder reads, so figures differ from those of a training run, whose texts
    may be shorter.

    Args:
        workspace: an indexed one.
        catalog: its items.
        split: name of the protocol.

    Raises:
        AdapterError: there is no such protocol.
        TrainingError: nobody can be asked.
    """

    def __init__(self, workspace: Workspace, catalog: Catalog, split: str) -> None:
        if split not in SPLITS:
            raise AdapterError(f"validated by {split!r}, a protocol that this llmrec does not have")
        self.workspace, self.catalog = workspace, catalog
        log = Log.of(workspace.events.log(), catalog.row_of, len(catalog))
        stage = SPLITS[split](log)[0]
        if not stage.cases:
            raise TrainingError(
                f"{workspace.root}: no user has enough events, so that nothing can be validated",
                "Add events with `llmrec index CATALOG --interactions LOG`.",
            )
        settings = TrainingSettings()
        cases = choose_cases(stage, settings.validation_users, settings.seed)
        self.questions = Questions(stage, cases, len(catalog))

    def __call__(self, encoder: Encoder, items: Scores) -> Mapping[str, Values]:
        """Values of each user, by metric; ``items``: vectors by row of the catalog, by that encoder."""
        split = self.questions.split
        asked = [(split.log.users[case.user], split.history(case)) for case in self.questions.cases]
        return self.questions.values(items, UserTexts(self.workspace, self.catalog, encoder)(asked))
