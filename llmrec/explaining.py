"""Explanations of a workspace: its explainer, loaded beside other work, and the evidence that it is given."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from llmrec.explain import Case, Explainer, Told, load_explainer
from llmrec.progress import Progress
from llmrec.prompts import load_prompt
from llmrec.rank.channel import Taste
from llmrec.rank.log import Rows
from llmrec.rank.ranker import Ranker
from llmrec.schema import Recommendation
from llmrec.workspace import Workspace

_CITED_HISTORY = 5


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

    def prepare(self) -> Future[Explainer]:
        """Begin to load the explainer, where that has not begun."""
        if self._explainer is None:
            loader = ThreadPoolExecutor(max_workers=1)
            self._explainer = loader.submit(self._load)
            loader.shutdown(wait=False)
        return self._explainer

    def each(
        self,
        entries: Sequence[Recommendation],
        rows: Rows,
        taste: Taste,
        liked: Collection[int],
        query: str,
        told: Told | None = None,
    ) -> Iterator[Recommendation]:
        """``entries`` explained, in their order, as many at once as the explainer likes.

        Args:
            entries: recommendations of the ranker's.
            rows: their items'.
            taste: whom they were made for.
            liked: the rows of their history that they may be said to like.
            query: what they asked for.
            told: hears what is written of one that is written alone, before it is verified.
        """
        cases = (
            self._case(entry, row, taste, liked, query)
            for entry, row in zip(entries, rows.tolist(), strict=True)
        )
        explained = self.prepare().result().explain_each(cases, told)
        for entry, explanation in zip(entries, explained, strict=True):
            yield replace(entry, explanation=explanation)

    def _case(
        self, entry: Recommendation, row: int, taste: Taste, liked: Collection[int], query: str
    ) -> Case:
        """What is known of a recommendation; liked items with the largest influence on its score first."""
        catalog, history = self.ranker.catalog, taste.history
        influence = self.ranker.influence(taste, row)
        strongest = [
            at
            for at in np.argsort(-influence, kind="stable").tolist()
            if influence[at] > 0 and int(history[at]) in liked
        ][:_CITED_HISTORY]
        cited = catalog.items(history[strongest])
        return Case(
            catalog.items(np.array([row], np.intp))[0],
            tuple((item, float(influence[at])) for item, at in zip(cited, strongest, strict=True)),
            entry.contributions,
            query,
        )

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
