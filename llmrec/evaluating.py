"""Evaluation of a workspace: its log is split, the recommender and baselines are trained, and asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cached_property

from llmrec import __version__
from llmrec.encode import load_encoder
from llmrec.errors import EvaluationError, RequestError
from llmrec.evaluate.baselines import BASELINES
from llmrec.evaluate.fusion import fusion_models, weights
from llmrec.evaluate.leakage import find_leaks
from llmrec.evaluate.model import Model
from llmrec.evaluate.report import Document, Report
from llmrec.evaluate.run import evaluate
from llmrec.evaluate.split import Case, Split
from llmrec.evaluate.splits import LEAVE_LAST_OUT, MIN_EVENTS, SPLITS
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Taste
from llmrec.rank.log import Log
from llmrec.training.pairs import training_period
from llmrec.users import UserTexts
from llmrec.workspace import Workspace

MIN_USERS = 10
"""Users with enough events to be asked about below which no figure means anything."""


class Evaluation:
    """A workspace's catalog and log, and what can be measured on them.

    Args:
        workspace: an indexed one.
        progress: shows what is trained and asked.

    Raises:
        WorkspaceError: nothing is indexed yet.
        EvaluationError: the log has too few users.
    """

    def __init__(self, workspace: Workspace, progress: Progress = NoProgress()) -> None:
        present = workspace.require_present()
        self.workspace, self.progress, self.snapshot = workspace, progress, present.snapshot
        self.settings = workspace.settings.rank
        self.catalog = Catalog(present.table, self.settings.exact_items)
        self.log = Log.of(workspace.events.log(), self.catalog.row_of, len(self.catalog))
        enough = int((self.log.lengths >= MIN_EVENTS).sum())
        if enough < MIN_USERS:
            raise EvaluationError(
                f"{workspace.root}: {enough} users have {MIN_EVENTS} events or more with its items, "
                f"and an evaluation takes {MIN_USERS}",
                "Add a log with `llmrec index CATALOG --interactions LOG`.",
            )

    @cached_property
    def users(self) -> UserTexts:
        """Makes users' texts into vectors."""
        settings = self.workspace.settings
        spec = self.workspace.require_encoder(self.snapshot).spec
        encoder = load_encoder(spec, settings.encoder, self.progress)
        return UserTexts(self.workspace, self.catalog, encoder)

    @cached_property
    def fingerprint(self) -> str:
        """Changes with whatever a result depends on: log, items, encoder, prompt, settings, version."""
        known = [
            self.log.fingerprint(self.catalog.ids),
            hashlib.sha256("\n".join(self.catalog.ids).encode()).hexdigest(),
            self.snapshot.encoder_fingerprint,
            self.snapshot.prompt,
            self.settings.model_dump(),
            __version__,
        ]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def _tuned_on(self) -> Log | None:
        """The events that an adapter in use may have been trained on; None without one."""
        return training_period(self.log) if self.snapshot.adapter else None

    def taste(self, split: Split, case: Case) -> Taste:
        """What is known of the user at a case, with the vector of their text."""
        known = split.taste(case)
        (vector,) = self.users([(split.log.users[case.user], known.history)])
        return replace(known, vector=vector if vector.any() else None)

    def report(
        self,
        split: str = LEAVE_LAST_OUT,
        baselines: Sequence[str] = tuple(BASELINES),
        seeds: Sequence[int] = (0,),
        ablate: bool = False,
        variants: bool = True,
    ) -> Document:
        """What the recommender and the baselines reach, as ``llmrec evaluate --json`` prints it.

        Args:
            split: a protocol of :data:`llmrec.evaluate.splits.SPLITS`.
            baselines: names in :data:`llmrec.evaluate.baselines.BASELINES`.
            seeds: of training; values are means over them.
            ablate: also remove each channel and each modality in turn.
            variants: also early and late fusion.

        Raises:
            RequestError: a name is none.
            EvaluationError: the log cannot be split so, or a model fails.
        """
        check_names("split", [split], SPLITS)
        check_names("baseline", baselines, BASELINES)
        stages = SPLITS[split](self.log)
        compared, removed = fusion_models(
            self.settings, self.users, self.catalog, len(seeds), apart=self.snapshot.adapter is not None
        )
        compared = compared if variants else compared[:1]
        models: list[Model] = [*(BASELINES[name] for name in dict.fromkeys(baselines)), *compared]
        asked = [*models, *(removed if ablate else ())]
        results = evaluate(
            asked, stages, self.catalog, seeds=seeds, taste_of=self.taste, progress=self.progress
        )
        scorer = compared[0].fit(self.catalog, stages[1].train, {}, seeds[0], self.progress)
        return Report(
            self.log,
            stages,
            results[: len(models)],
            find_leaks(stages, self.log, rows_used=Split.history, tuned_on=self._tuned_on),
            seeds,
            {"name": self.snapshot.encoder_name, "fingerprint": self.snapshot.encoder_fingerprint},
            results[len(models) :],
            weights(scorer, stages[1]),
        ).to_json()


def check_names(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    """Refuse a name that is not among the ``known`` ones.

    Raises:
        RequestError: names it, and those that there are.
    """
    if unknown := [name for name in names if name not in known]:
        raise RequestError(f"there is no {kind} {unknown[0]!r}", f"There are: {', '.join(known)}.")
