"""Explanations of a workspace: its explainer, loaded beside other work, and the evidence that it is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from llmrec.explain import LANGUAGES, Case, Explainer, Told, gather, load_explainer
from llmrec.explain.cases import Cases, Question
from llmrec.progress import Progress
from llmrec.prompts import load_prompt
from llmrec.rank.log import Rows
from llmrec.rank.ranker import Ranker
from llmrec.schema import Recommendation
from llmrec.workspace import Workspace


class Explaining:
    """Explains what one ranker recommends.

    Args:
        workspace: whose settings name the explainer, and where explanations are kept.
        ranker: of the present snapshot.
        progress: where to show what is loaded.
    """

    def __init__(self, workspace: Workspace, ranker: Ranker, progress: Progress) -> None:
        self.workspace = workspace
        self.ranker = ranker
        self.progress = progress
        self._explainer: Future[Explainer] | None = None
        self._case = Cases(ranker, workspace.events.together)

    def prepare(self) -> Future[Explainer]:
        """Begin to load the explainer, where that has not begun."""
        if self._explainer is None:
            loader = ThreadPoolExecutor(max_workers=1)
            self._explainer = loader.submit(self._load)
            loader.shutdown(wait=False)
        return self._explainer

    def each(
        self, entries: Sequence[Recommendation], rows: Rows, question: Question, told: Told | None = None
    ) -> Iterator[Recommendation]:
        """``entries`` explained by what moved their scores, in order, as many at once as the explainer likes.

        Args:
            entries: recommendations of the ranker's.
            rows: their items'.
            question: that they answer.
            told: hears what is written of one that is written alone, before it is verified.
        """
        explained = self.prepare().result().explain_each(self._cases(entries, rows, question), told)
        for entry, explanation in zip(entries, explained, strict=True):
            yield replace(entry, explanation=explanation)

    def evidence(
        self, entries: Sequence[Recommendation], rows: Rows, question: Question
    ) -> Iterator[Recommendation]:
        """``entries`` with the evidence that explanations would have; no language model is loaded."""
        language = LANGUAGES[self.workspace.settings.explain.language]
        for entry, case in zip(entries, self._cases(entries, rows, question), strict=True):
            yield replace(entry, evidence=gather(case, language))

    def _cases(self, entries: Sequence[Recommendation], rows: Rows, question: Question) -> Iterator[Case]:
        for entry, row in zip(entries, rows.tolist(), strict=True):
            yield self._case(row, entry.contributions, question)

    def _load(self) -> Explainer:
        settings = self.workspace.settings
        return load_explainer(
            settings.models.explainer,
            load_prompt(settings.explain.prompt, self.workspace.root / "prompts"),
            settings.explain,
            self.ranker.catalog.titles(),
            self.workspace.events.explanations(),
            self.progress,
        )
