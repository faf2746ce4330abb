"""Validation: how well the vectors of users' texts rank all items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrec.encode.batches import pad_batches
from llmrec.evaluate.metrics import accuracy, by_user, places
from llmrec.evaluate.split import Case, Split
from llmrec.evaluate.statistics import Values
from llmrec.rank.channel import Scores
from llmrec.rank.log import Rows
from llmrec.training.corpus import Corpus

_AT_ONCE = 20_000
"""Texts whose tokens are in memory."""
METRIC = "ndcg@10"
"""What the best state of a run is chosen by."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What users chose next, asked of vectors.

    Args:
        split: the validation stage of a protocol.
        cases: those of its cases that are asked.
        first_text: number of the text of the first case's history; the others' follow.
    """

    split: Split
    cases: tuple[Case, ...]
    first_text: int

    @property
    def texts(self) -> range:
        """Numbers of the texts of the histories."""
        return range(self.first_text, self.first_text + len(self.cases))

    def candidates(self, count: int) -> Rows:
        """Rows of the items that were chosen, and others at random until there are ``count``, ascending."""
        targets = np.unique(np.concatenate([case.targets for case in self.cases]))
        others = np.setdiff1d(np.arange(self.split.log.size), targets)
        drawn = np.random.default_rng(0).permutation(others)[: max(0, count - len(targets))]
        return np.sort(np.concatenate([targets, drawn]))

    def values(self, items: Scores, users: Scores, candidates: Rows | None = None) -> dict[str, Values]:
        """NDCG@10, recall@10 and reciprocal rank of each user, all items but the known ones ranked, (users,).

        Args:
            items: unit vectors, (items, dimension), or of the candidates alone, (candidates, dimension).
            users: of the histories, (cases, dimension).
            candidates: rows of the items that are ranked, all targets among them; None: all items.
        """
        ranked = slice(None) if candidates is None else candidates
        scores = np.full(self.split.log.size, -np.inf, np.float32)
        found = []
        for case, vector in zip(self.cases, users, strict=True):
            scores[ranked] = items @ vector
            scores[self.split.history(case)] = -np.inf
            found.append(accuracy(places(scores, case.targets)))
        of = np.array([case.user for case in self.cases], np.intp)
        return {
            name: by_user(of, np.array([values[name] for values in found]))
            for name in (METRIC, "recall@10", "mrr")
        }

    def metrics(self, items: Scores, users: Scores) -> dict[str, float]:
        """Their means over users."""
        return {name: float(values.mean()) for name, values in self.values(items, users).items()}


def choose_cases(split: Split, count: int, seed: int) -> tuple[Case, ...]:
    """At most ``count`` cases of a split, at random."""
    chosen = np.random.default_rng(seed).permutation(len(split.cases))[:count]
    return tuple(split.cases[at] for at in np.sort(chosen))


def judge(
    model: Any, corpus: Corpus, questions: Questions, pad_token: int, tokens: int, bfloat16: bool = False
) -> Mapping[str, float]:
    """Metrics of a ``SentenceTransformer`` as it is; ``tokens`` are encoded at once."""
    items = encode(model, corpus, range(questions.split.log.size), pad_token, tokens, bfloat16)
    return questions.metrics(items, encode(model, corpus, questions.texts, pad_token, tokens, bfloat16))


def encode(
    model: Any, corpus: Corpus, texts: range, pad_token: int, tokens: int, bfloat16: bool = False
) -> Scores:
    """Unit vectors of texts of a corpus, (texts, dimension)."""
    import torch

    vectors = np.empty((len(texts), model.get_embedding_dimension()), np.float32)
    training = model.training
    model.eval()
    with (
        torch.inference_mode(),
        torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16),
    ):
        for start in range(0, len(texts), _AT_ONCE):
            sequences = corpus.sequences(texts[start : start + _AT_ONCE])
            for batch in pad_batches(sequences, tokens, pad_token):
                arrays = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
                features = {name: torch.from_numpy(array).to(model.device) for name, array in arrays.items()}
                vectors[start + batch.rows] = model(features)["sentence_embedding"].float().cpu().numpy()
    model.train(training)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors
