"""What a workspace gives to learn from: pairs of its log, texts of its items and users, and questions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec import assets
from llmrec.encode.base import Kind
from llmrec.encode.folder import ModelFolder
from llmrec.encode.load import model_folder
from llmrec.encode.tokens import FolderTokenizer
from llmrec.errors import ConfigError, TrainingError
from llmrec.evaluate.split import Split
from llmrec.evaluate.splits import leave_last_out
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.log import Log, Rows
from llmrec.runtime.plugins import is_plugin
from llmrec.store.rows import DOCUMENT
from llmrec.training.corpus import Corpus, histories_of, write_corpus
from llmrec.training.judge import Questions, choose_cases
from llmrec.training.negatives import hard_negatives
from llmrec.training.pairs import Pairs, check_period, sample_pairs, training_period
from llmrec.training.settings import TrainingSettings
from llmrec.users import UserWriter
from llmrec.workspace import Workspace

_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Base:
    """The model that is fine-tuned.

    Args:
        name: as the workspace's settings have it.
        folder: its files.
        fingerprint: digest of their content.
        licence: None where it is not known.
    """

    name: str
    folder: ModelFolder
    fingerprint: str
    licence: str | None

    @classmethod
    def of(cls, workspace: Workspace, progress: Progress) -> Base:
        """The encoder that a workspace's settings name, also where an adapter of it is in use.

        Raises:
            ConfigError: it is a plug-in.
            AssetError: it cannot be found, pulled or read.
        """
        spec = workspace.settings.models.encoder
        if is_plugin(spec):
            raise ConfigError(
                f"{spec}: a plug-in has no weights that could be fine-tuned",
                "Name a model as models.encoder in llmrec.toml, then `llmrec index CATALOG --rebuild`.",
            )
        folder = model_folder(spec, progress)
        return cls(spec, folder, assets.fingerprint(spec), assets.licence(spec))


class Material:
    """The older part of a workspace's log, and the texts that go with it.

    The newest event of a user is never looked at, since `llmrec evaluate` asks for it; the one before it is
    what validation asks, from all that is older. Pairs are of the :func:`training_period`.

    Args:
        workspace: an indexed one.
        base: its encoder.
        settings: of the run.

    Raises:
        WorkspaceError: nothing is indexed yet, or the items were encoded by another model.
        TrainingError: the log has too little to learn from, or nobody to ask.
    """

    def __init__(self, workspace: Workspace, base: Base, settings: TrainingSettings) -> None:
        present = workspace.require_present()
        workspace.require_encoder(present.snapshot)
        self.workspace, self.base, self.settings = workspace, base, settings
        self.snapshot = present.snapshot
        self.catalog = Catalog(present.table, workspace.settings.rank.exact_items)
        self.whole = Log.of(workspace.events.log(), self.catalog.row_of, len(self.catalog))
        self.split: Split = leave_last_out(self.whole)[0]
        self.log = training_period(self.whole)
        self.pairs: Pairs = sample_pairs(self.log, settings.pairs, settings.seed)
        check_period(self.pairs, self.log)
        if not self.split.cases:
            raise TrainingError(
                f"{workspace.root}: no user has four events, so that nothing could be validated",
                "Add events with `llmrec index CATALOG --interactions LOG`.",
            )
        self.cases = choose_cases(self.split, settings.validation_users, settings.seed)

    @cached_property
    def histories(self) -> Pairs:
        """A pair for each history that is an anchor."""
        return histories_of(self.pairs)[0]

    @property
    def questions(self) -> Questions:
        """The validation."""
        return Questions(self.split, self.cases, len(self.catalog) + len(self.histories))

    @property
    def identity(self) -> str:
        """Changes with whatever the data of a run depend on."""
        known = [
            self.settings.model_dump(mode="json"),
            self.workspace.settings.documents.model_dump(mode="json"),
            self.whole.fingerprint(self.catalog.ids),
            self.base.fingerprint,
            [self.snapshot.table, self.snapshot.version],
            np.__version__,  # decides what is drawn at random
        ]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    def write(self, folder: Path, progress: Progress) -> None:
        """Write the corpus into a new folder.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        count = self.settings.pairs.hard_negatives
        negatives = np.empty((len(self.pairs), 0), np.intp)
        if count:
            vectors = self.catalog.vectors(np.arange(len(self.catalog)))
            negatives = hard_negatives(self.log, vectors, self.pairs, count, self.settings.seed)
        total = self.questions.first_text + len(self.cases)
        with progress.task("Reading texts", total=total, unit="texts") as task:

            def counted() -> Iterator[NDArray[np.int64]]:
                for tokens in self._texts():
                    yield tokens
                    task.advance()

            write_corpus(folder, counted(), len(self.catalog), self.pairs, negatives)

    def facts(self, corpus: Corpus) -> dict[str, Any]:
        """Counts and period of the data, for the card."""
        return {
            "log": self.whole.fingerprint(self.catalog.ids),
            "prompt": self.snapshot.prompt,
            "items": len(self.catalog),
            "users": int((self.log.lengths > 0).sum()),
            "events": len(self.log),
            "begin": float(self.log.times.min()),
            "end": self.log.end,
            "pairs": len(self.pairs),
            "histories": len(self.histories),
            "texts": len(corpus.texts),
            "validation_users": len(self.cases),
        }

    def _texts(self) -> Iterator[NDArray[np.int64]]:
        """Tokens of the items by row, of the pairs' histories, and of the questions'."""
        folder = self.base.folder
        tokenizer = FolderTokenizer(folder, min(self.settings.max_tokens, folder.position_tokens))
        for batch in self.catalog.table.scan([DOCUMENT]):
            yield from _tokens(tokenizer, batch.column(0).to_pylist(), "item")
        writer = UserWriter(self.workspace, self.catalog, tokenizer)
        asked = self._histories()
        while some := [*islice(asked, _AT_ONCE)]:
            yield from _tokens(tokenizer, writer.texts(some), "user")

    def _histories(self) -> Iterator[tuple[str, Rows]]:
        """Users with their histories, newest first."""
        for user, known in zip(self.histories.users, self.histories.known, strict=True):
            rows = self.log.rows[self.log.span(int(user))]
            yield self.log.users[user], rows[:known][::-1]
        for case in self.cases:
            yield self.log.users[case.user], self.split.history(case)


def _tokens(tokenizer: FolderTokenizer, texts: list[str], kind: Kind) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(texts), _AT_ONCE):
        yield from tokenizer.sequences(texts[start : start + _AT_ONCE], kind)
