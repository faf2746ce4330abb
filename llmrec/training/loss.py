"""The loss: which of the items of a batch did this user choose next?"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss
from torch.nn import functional

Features = dict[str, torch.Tensor]


class NextItemLoss(CachedMultipleNegativesRankingLoss):  # type: ignore[misc]
    """Softmax over the distinct items of a batch, corrected for their popularity, without false negatives.

    For an anchor ``a`` with target ``t`` among candidates ``c`` it is the cross-entropy of ``t`` in
    cos(a, c) / temperature - log q(c), where q is how likely ``c`` is in a batch, and candidates that are no
    negatives of the anchor are left out.

    Args:
        model: a ``SentenceTransformer``.
        temperature: by which cosines are divided.
        mini_batch_tokens: tokens that are encoded at once.
        cached: whether only one mini-batch's activations are kept, at the price of encoding twice.
    """

    def __init__(
        self, model: torch.nn.Module, temperature: float, mini_batch_tokens: int, cached: bool
    ) -> None:
        super().__init__(model, scale=1 / temperature, mini_batch_num_tokens=mini_batch_tokens)
        self.cached = cached

    def forward(self, sentence_features: Iterable[Features], labels: Features) -> torch.Tensor:
        """Mean over the pairs; takes what :class:`llmrec.training.batches.Collator` makes."""
        (texts,) = sentence_features
        if self.cached:
            loss: torch.Tensor = self.forward_cached([texts], labels)
            return loss
        parts = self.embed_minibatch_iter(texts, with_grad=True, copy_random_state=False)
        return self.calculate_loss([[vectors for vectors, _ in parts]], labels)

    def calculate_loss(
        self, reps: list[list[torch.Tensor]], labels: Features, *, with_backward: bool = False
    ) -> torch.Tensor:
        """The loss of vectors, in mini-batches; propagated back to them where the cache asks for it."""
        vectors = functional.normalize(torch.cat(reps[0]).float(), dim=-1)
        cosines = vectors[labels["anchors"]] @ vectors[labels["candidates"]].T
        scores = cosines * self.scale - labels["correction"]
        loss = functional.cross_entropy(scores.masked_fill(labels["excluded"], -torch.inf), labels["targets"])
        if with_backward:
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()
        return loss
