"""Prompts for items or users: how well the texts that they write rank, and what those cost."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llmrec.documents import ItemDocuments
from llmrec.encode import Encoder, Kind
from llmrec.encode.turns import Turns
from llmrec.evaluate.statistics import Difference, Interval, Values, difference, interval
from llmrec.progress import Progress
from llmrec.prompts import Prompt
from llmrec.rank.channel import Scores
from llmrec.rank.log import Rows
from llmrec.schema import Document
from llmrec.training.judge import METRIC
from llmrec.training.validation import Validation
from llmrec.users import UserTexts, UserWriter

_READ_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class TextRow:
    """What a prompt for items or users reaches and costs.

    Args:
        prompt: the prompt.
        values: of each user by metric, (users,).
        difference: of NDCG@10 to the first prompt, by user; None for that prompt.
        tokens: mean length of a text, of which the encoder reads all.
        cut: share of the texts that were longer than the encoder reads, 0 to 1.
        seconds: to encode the texts.
        texts: that were encoded.
    """

    prompt: Prompt
    values: Mapping[str, Values]
    difference: Difference | None
    tokens: float
    cut: float
    seconds: float
    texts: int

    def to_json(self) -> dict[str, Any]:
        """As ``llmrec prompts compare --json`` prints it, means and intervals for the values of users."""
        spans: dict[str, Interval] = {name: interval(values) for name, values in self.values.items()}
        return {
            "prompt": self.prompt.spec,
            "identity": self.prompt.identity,
            "metrics": {name: asdict(span) for name, span in spans.items()},
            "difference": None if self.difference is None else asdict(self.difference),
            "tokens": self.tokens,
            "cut": self.cut,
            "seconds": self.seconds,
            "texts": self.texts,
            "tokens_per_second": self.tokens * self.texts / max(self.seconds, 1e-9),
        }


def compare_item_prompts(
    prompts: Sequence[Prompt],
    validation: Validation,
    candidates: Rows,
    encoder: Encoder,
    kept: MutableMapping[str, bytes],
    progress: Progress,
) -> list[TextRow]:
    """Write and encode a sample of the items by each prompt; users' texts are as the settings have them.

    Args:
        prompts: the others are compared with the first.
        validation: on the log of a workspace.
        candidates: rows of the items that are ranked, all that were chosen among them.
        encoder: of the workspace.
        kept: what a run that was stopped has encoded.
        progress: shows writing and encoding.
    """
    settings = validation.workspace.settings.documents
    writers = {prompt.spec: ItemDocuments(prompt, settings, encoder) for prompt in prompts}
    documents: dict[str, list[Document]] = {name: [] for name in writers}
    total = len(candidates) * len(prompts)
    with progress.task("Writing items", total=total, unit="texts") as task:
        for start in range(0, len(candidates), _READ_AT_ONCE):
            items = validation.catalog.items(candidates[start : start + _READ_AT_ONCE])
            for name, writer in writers.items():
                documents[name] += writer(items)
                task.advance(len(items))
    users = UserTexts(validation.workspace, validation.catalog, encoder)(validation.asked)
    run = _Encoded(documents, encoder, kept)
    items_of = run("item", progress)
    return run.rows(prompts, validation, {name: (items_of[name], users) for name in items_of}, candidates)


def compare_user_prompts(
    prompts: Sequence[Prompt],
    validation: Validation,
    candidates: Rows,
    encoder: Encoder,
    kept: MutableMapping[str, bytes],
    progress: Progress,
) -> list[TextRow]:
    """Write and encode the users by each prompt; items are as they are indexed.

    See :func:`compare_item_prompts`.
    """
    workspace, catalog, asked = validation.workspace, validation.catalog, validation.asked
    documents = {
        prompt.spec: UserWriter(workspace, catalog, encoder, prompt).documents(asked) for prompt in prompts
    }
    run = _Encoded(documents, encoder, kept)
    users_of = run("user", progress)
    items = catalog.vectors(candidates)
    return run.rows(prompts, validation, {name: (items, users_of[name]) for name in users_of}, candidates)


class _Encoded:
    """Documents of several prompts, encoded in turns."""

    def __init__(
        self, documents: Mapping[str, Sequence[Document]], encoder: Encoder, kept: MutableMapping[str, bytes]
    ) -> None:
        self.documents, self.encoder = documents, encoder
        self.texts = {name: [document.text for document in of] for name, of in documents.items()}
        self.turns = Turns(dict.fromkeys(documents, encoder), kept)

    def __call__(self, kind: Kind, progress: Progress) -> dict[str, Scores]:
        """Vectors by each prompt, (texts, dimension)."""
        total = sum(sum(1 for text in of if text or kind == "item") for of in self.texts.values())
        with progress.task("Encoding in turns", total=total, unit="texts") as task:
            return self.turns.encode(self.texts, kind, task)

    def rows(
        self,
        prompts: Sequence[Prompt],
        validation: Validation,
        vectors: Mapping[str, tuple[Scores, Scores]],
        candidates: Rows,
    ) -> list[TextRow]:
        """The rows, from the vectors of the candidates and of the users by each prompt."""
        found: list[TextRow] = []
        for prompt in prompts:
            items, users = vectors[prompt.spec]
            values = validation.questions.values(items, users, candidates)
            found.append(
                TextRow(
                    prompt,
                    values,
                    difference(values[METRIC], found[0].values[METRIC]) if found else None,
                    float(np.mean(self.encoder.count_tokens(self.texts[prompt.spec]))),
                    float(np.mean([bool(document.cut) for document in self.documents[prompt.spec]])),
                    sum(self.turns.seconds[prompt.spec]),
                    self.turns.texts[prompt.spec],
                )
            )
        return found
