"""What a workspace gives the explainer to learn from: prompts with evidence, and answers that verify."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np

from llmrec.assets.hashing import write_json
from llmrec.errors import TrainingError
from llmrec.evaluate.splits import leave_last_out
from llmrec.explain.evidence import Case, gather
from llmrec.explain.explainer import messages
from llmrec.explain.languages import LANGUAGES
from llmrec.explain.verifier import Verifier
from llmrec.progress import Progress
from llmrec.prompts import load_prompt
from llmrec.rank.catalog import Catalog
from llmrec.rank.log import Log, Rows
from llmrec.training.explainer.base import Base
from llmrec.training.explainer.cases import PastCases, Users, draw_events, share_out
from llmrec.training.explainer.examples import Example, Tokens
from llmrec.training.explainer.targets import target
from llmrec.training.settings import ExplainerSettings
from llmrec.workspace import Snapshot, Workspace

LEAST = 100
"""Examples below which nothing can be learnt."""


@dataclass(frozen=True, slots=True)
class Examples:
    """What a run reads.

    Args:
        learnt: to learn from.
        held_out: of held-out users, one of each.
        too_long: number left out for their length.
        refused: number left out since the verifier would refuse their answer.
    """

    learnt: list[Example]
    held_out: list[Example]
    too_long: int
    refused: int

    def write(self, path: Path) -> None:
        """Write them as JSON.

        Raises:
            OSError: the file cannot be written.
        """
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self:
        """What :meth:`write` wrote."""
        known = json.loads(path.read_text(encoding="utf-8"))
        learnt, held_out = ([Example(**one) for one in known[kind]] for kind in ("learnt", "held_out"))
        return cls(learnt, held_out, known["too_long"], known["refused"])


class Material:
    """A workspace's log without the last two events of each user, its catalog and its ranker.

    The newest event of a user is never looked at, since `llmrec evaluate` asks for it, and neither is the one
    before it. Some users are held out whole. The ranker has learnt from all events; what is told of its
    recommendations comes from those of the log alone, see :class:`PastCases`.

    Args:
        workspace: an indexed one.
        base: its explainer.
        settings: of the run.

    Raises:
        WorkspaceError: nothing is indexed yet, or the items were encoded by another model.
        TrainingError: the log has too little to learn from.
        PromptError: the workspace's prompt cannot be used.
    """

    def __init__(self, workspace: Workspace, base: Base, settings: ExplainerSettings) -> None:
        self._present = workspace.require_present()
        self.workspace, self.base, self.settings = workspace, base, settings
        self.encoding = workspace.require_encoder(self.snapshot)
        self.catalog = Catalog(self._present.table, workspace.settings.rank.exact_items)
        self.whole = Log.of(workspace.events.log(), self.catalog.row_of, len(self.catalog))
        self.split = leave_last_out(self.whole)[0]
        self.users: Users = share_out(self.log, settings.held_out_users, settings.seed)
        self.language = LANGUAGES[workspace.settings.explain.language]
        self.prompt = load_prompt(workspace.settings.explain.prompt, workspace.root / "prompts")
        self._check_enough(int(np.minimum(self.log.lengths[self.users.learnt] - 1, settings.per_user).sum()))

    @property
    def snapshot(self) -> Snapshot:
        """What is indexed."""
        return self._present.snapshot

    @property
    def log(self) -> Log:
        """The training period."""
        return self.split.train

    @cached_property
    def verifier(self) -> Verifier:
        """Of the whole catalog."""
        return Verifier(self.catalog.titles())

    @cached_property
    def past(self) -> PastCases:
        """Makes the cases."""
        return PastCases.of(self.workspace, self._present, self.catalog, self.log, self.users.learnt)

    @property
    def identity(self) -> str:
        """Changes with whatever the data of a run depend on."""
        stated = self.workspace.settings
        known = [
            self.settings.model_dump(mode="json"),
            self.prompt.identity,
            self.whole.fingerprint(self.catalog.ids),
            self.base.fingerprint,
            self.encoding.fingerprint,
            [self.snapshot.table, self.snapshot.version, self.snapshot.channels],
            [part.model_dump(mode="json") for part in (stated.rank, stated.documents, stated.encoder)],
            np.__version__,  # decides what is drawn at random
        ]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    def examples(self, progress: Progress) -> Examples:
        """Write the examples; the same for the same material.

        Raises:
            TrainingError: too few are left.
        """
        tokens = Tokens(self.base.folder)
        counts = {"too long": 0, "refused": 0}

        def kept(cases: Iterator[Case], rng: np.random.Generator) -> Iterator[Example]:
            for case in cases:
                answer = self._answer(case, rng)
                if answer is None:
                    counts["refused"] += 1
                    continue
                example = tokens(*answer)
                if len(example) > self.settings.max_tokens:
                    counts["too long"] += 1
                    continue
                task.advance()
                yield example

        asked = min(self.settings.held_out_examples, len(self.users.held_out))
        total = self.settings.examples + asked
        with progress.task("Writing examples", total=total, unit="examples") as task:
            rng = np.random.default_rng([self.settings.seed, 2])
            cases = self._cases(self.users.learnt, self.settings.per_user, rng)
            learnt = [*islice(kept(cases, rng), self.settings.examples)]
            rng = np.random.default_rng([self.settings.seed, 3])
            held_out = [*islice(kept(self._cases(self.users.held_out, 1, rng), rng), asked)]
        self._check_enough(len(learnt))
        if not held_out:
            raise TrainingError(
                f"{self.workspace.root}: no user could be held out, so that nothing could be validated",
                "Add events of other users with `llmrec index CATALOG --interactions LOG`.",
            )
        return Examples(learnt, held_out, counts["too long"], counts["refused"])

    def held_out_cases(self, count: int) -> list[Case]:
        """Cases of held-out users, one of each, for models to write about."""
        rng = np.random.default_rng([self.settings.seed, 4])
        return [*islice(self._cases(self.users.held_out, 1, rng), count)]

    def facts(self, examples: Examples) -> dict[str, Any]:
        """Counts and period of the data, for the card."""
        return {
            "log": self.whole.fingerprint(self.catalog.ids),
            "prompt": self.prompt.identity,
            "items": len(self.catalog),
            "users": len(self.users.learnt),
            "events": len(self.log),
            "begin": float(self.log.times.min()),
            "end": self.log.end,
            "examples": len(examples.learnt),
            "held_out_users": len(self.users.held_out),
            "held_out_examples": len(examples.held_out),
            "left_out": {"too long": examples.too_long, "not verified": examples.refused},
        }

    def _cases(self, users: Rows, per_user: int, rng: np.random.Generator) -> Iterator[Case]:
        for event in draw_events(self.log, users, per_user, rng):
            if (case := self.past(event, rng)) is not None:
                yield case

    def _answer(self, case: Case, rng: np.random.Generator) -> tuple[str, str, str] | None:
        """System message, user message and answer of a case; None where the answer does not verify."""
        evidence = gather(case, self.language)
        text = target(case.item, evidence, lambda count: int(rng.integers(count)), self.language)
        if not self.verifier.check(text, case.item, evidence).ok:
            return None
        return (*messages(self.prompt, case.item, evidence), text)

    def _check_enough(self, count: int) -> None:
        if count < LEAST:
            raise TrainingError(
                f"the log gives {count} explanations to learn from, and it takes {LEAST}",
                "Add events with `llmrec index CATALOG --interactions LOG`, or raise `per_user`.",
            )


def held_out_ids(workspace: Workspace, settings: ExplainerSettings) -> Sequence[str]:
    """Ids of the users whom a run by these settings holds out, as the log is now."""
    present = workspace.require_present()
    catalog = Catalog(present.table, workspace.settings.rank.exact_items)
    log = leave_last_out(Log.of(workspace.events.log(), catalog.row_of, len(catalog)))[0].train
    return [log.users[user] for user in share_out(log, settings.held_out_users, settings.seed).held_out]
