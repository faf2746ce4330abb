"""Validation of encoders on a workspace's log as it is now: what users chose next, asked of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from llmrec.encode import Encoder
from llmrec.errors import AdapterError, TrainingError
from llmrec.evaluate.splits import SPLITS
from llmrec.evaluate.statistics import Values
from llmrec.explain import Case
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores
from llmrec.rank.log import Log, Rows
from llmrec.training.explainer.cases import PastCases
from llmrec.training.judge import Questions, choose_cases
from llmrec.training.settings import TrainingSettings
from llmrec.users import UserTexts
from llmrec.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Sample:
    """What a comparison asks at most.

    Args:
        items: that are ranked; all that the users chose are among them, so that there may be more.
        users: that they are ranked for.
        explanations: that each contender writes.
    """

    items: int = 1000
    users: int = 300
    explanations: int = 20


class Validation:
    """Questions of the validation stage of a protocol, the same for every encoder.

    Texts are what the workspace's encoder reads, so figures differ from those of a training run, whose texts
    may be shorter.

    Args:
        workspace: an indexed one.
        catalog: its items.
        split: name of the protocol.
        users: how many are asked at most; None for as many as in training.

    Raises:
        AdapterError: there is no such protocol.
        TrainingError: nobody can be asked.
    """

    def __init__(self, workspace: Workspace, catalog: Catalog, split: str, users: int | None = None) -> None:
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
        count = settings.validation_users if users is None else users
        cases = choose_cases(stage, count, settings.seed)
        self.questions = Questions(stage, cases, len(catalog))

    def explanations(self) -> list[Case]:
        """The first recommendation to each user who is asked, with what moved it.

        The workspace's ranker makes it, which has learnt from the whole log. What is told of it comes from
        the training period.

        Raises:
            WorkspaceError: the items were encoded by another model than users would be.
            TrainingError: nothing is recommended to anybody.
        """
        log = self.questions.split.train
        everyone = np.arange(len(log.users))
        past = PastCases.of(self.workspace, self.workspace.require_present(), self.catalog, log, everyone)
        firsts = (past.first(case.user) for case in self.questions.cases)
        if found := [case for case in firsts if case is not None]:
            return found
        raise TrainingError(
            f"{self.workspace.root}: nothing is recommended to the users who are asked",
            "They know all items, or `[rank]` switches every channel off.",
        )

    @property
    def asked(self) -> list[tuple[str, Rows]]:
        """The user of each case with the rows of their history, newest first."""
        split = self.questions.split
        return [(split.log.users[case.user], split.history(case)) for case in self.questions.cases]

    def __call__(self, encoder: Encoder, items: Scores) -> Mapping[str, Values]:
        """Values of each user, by metric; ``items``: vectors by row of the catalog, by that encoder."""
        return self.questions.values(items, UserTexts(self.workspace, self.catalog, encoder)(self.asked))
