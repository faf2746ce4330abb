"""Baseline ``sasrec``: a causal transformer over item ids (Kang and McAuley, ICDM 2018).

Trained with the softmax over all items, which beats the original's one negative a step (Klenitskiy and
Vasilev, RecSys 2023); above :data:`FULL_SOFTMAX` items with a softmax over sampled ones, corrected for the
sampling (Bengio and Senécal, 2008).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import EvaluationError
from llmrec.evaluate.baselines.transformer import network
from llmrec.evaluate.model import Setting
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Log, Rows

if TYPE_CHECKING:
    import torch

FULL_SOFTMAX = 20_000
"""Items up to which the loss runs over all of them."""
NEGATIVES = 1024
"""Items sampled for a batch above that."""
LENGTH = 50
"""Items of a history that are read, the newest."""
BATCH = 16
"""Windows: four times as many steps as with 64 at the same cost, and as many fewer epochs."""
HELD_OUT = 5_000
"""Users of the inner validation at most."""

_IGNORED = -100

Windows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FittedSasRec:
    """A trained network. ``code`` is the network's number of each catalog row, -1 for rows it never saw."""

    network: Any
    code: Rows

    def score(self, taste: Taste) -> Scores | None:
        """Logits of the next item, the lowest of them for unseen rows; None where it knows no item."""
        import torch

        history = self.code[taste.history[::-1]]
        history = history[history >= 0][-LENGTH:]
        if not len(history):
            return None
        with torch.inference_mode():
            logits = self.network.logits(self.network(torch.from_numpy(history[None]))[0, -1]).numpy()
        scores = np.full(len(self.code), logits.min(), np.float32)
        scores[self.code >= 0] = logits
        return scores


class SasRec:
    """Two blocks, the newest 50 items; trained until an inner validation stops it."""

    name = "sasrec"
    grid: tuple[Setting, ...] = (
        {"dimension": 64, "dropout": 0.3, "learning_rate": 2e-3, "epochs": 20, "patience": 3},
    )

    def fit(
        self, catalog: Catalog, log: Log, setting: Setting, seed: int, progress: Progress
    ) -> FittedSasRec:
        """Train on windows of the histories; the last event of each user is left for the inner validation.

        Raises:
            EvaluationError: the loss is not finite; names the epoch.
        """
        import torch

        seen = np.flatnonzero(log.counts)
        code = np.full(log.size, -1, np.intp)
        code[seen] = np.arange(len(seen))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = network(max(len(seen), 1), LENGTH, int(setting["dimension"]), float(setting["dropout"]))
            if len(log):
                _train(model, _sequences(log, code), setting, np.random.default_rng(seed), progress)
        return FittedSasRec(model.eval(), code)


def _sequences(log: Log, code: Rows) -> list[Rows]:
    return [code[log.rows[log.span(user)]] for user in range(len(log.users))]


def windows(sequences: list[Rows]) -> tuple[Windows, Windows]:
    """Inputs and targets, (windows, LENGTH) each, padded on the right with 0 and -100.

    A sequence is cut from its end into windows that share no target.
    """
    cuts = [
        sequence[max(0, end - LENGTH - 1) : end]
        for sequence in sequences
        for end in range(len(sequence), 1, -LENGTH)
    ]
    inputs = np.zeros((len(cuts), LENGTH), np.int64)
    targets = np.full((len(cuts), LENGTH), _IGNORED, np.int64)
    for row, cut in enumerate(cuts):
        inputs[row, : len(cut) - 1] = cut[:-1]
        targets[row, : len(cut) - 1] = cut[1:]
    return inputs, targets


def _train(
    model: Any,
    sequences: list[Rows],
    setting: Setting,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    """Epochs until the inner validation has not improved for ``patience`` of them; the best are kept."""
    import torch

    asked = [user for user, sequence in enumerate(sequences) if len(sequence) >= 3]
    if len(asked) > HELD_OUT:
        asked = sorted(rng.choice(asked, HELD_OUT, replace=False).tolist())
    held = {user: sequences[user] for user in asked}
    inputs, targets = windows(
        [sequence[:-1] if user in held else sequence for user, sequence in enumerate(sequences)]
    )
    if not len(inputs):
        return
    optimizer = torch.optim.AdamW(model.parameters(), lr=float(setting["learning_rate"]), weight_decay=0.01)
    best, kept, since = -1.0, copy.deepcopy(model.state_dict()), 0
    epochs = int(setting["epochs"])
    with progress.task("sasrec", epochs, "epochs") as task:
        for epoch in range(epochs):
            model.train()
            for batch in _batches(len(inputs), rng):
                loss = _loss(model, torch.from_numpy(inputs[batch]), torch.from_numpy(targets[batch]), rng)
                if not torch.isfinite(loss):
                    raise EvaluationError(f"sasrec: the loss is {loss.item()} in epoch {epoch + 1}")
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            task.advance()
            reached = _ndcg(model.eval(), list(held.values()))
            if reached > best:
                best, kept, since = reached, copy.deepcopy(model.state_dict()), 0
            elif (since := since + 1) >= int(setting["patience"]):
                break
    model.load_state_dict(kept)


def _batches(count: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    order = rng.permutation(count)
    for start in range(0, count, BATCH):
        yield order[start : start + BATCH]


def _loss(model: Any, inputs: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    import torch
    from torch.nn import functional

    known = targets != _IGNORED
    states, wanted = model(inputs)[known], targets[known]
    weights, bias = model.items.weight, model.bias
    if len(bias) <= FULL_SOFTMAX:
        return functional.cross_entropy(model.logits(states), wanted)
    sampled = torch.from_numpy(rng.integers(0, len(bias), NEGATIVES))
    positive = (states * functional.embedding(wanted, weights)).sum(1) + bias[wanted]
    negative = states @ functional.embedding(sampled, weights).T + bias[sampled]
    # Each sampled item stands for so many that were not.
    negative = negative + math.log((len(bias) - 1) / NEGATIVES)
    negative = negative.masked_fill(sampled == wanted[:, None], -torch.inf)
    logits = torch.cat([positive[:, None], negative], 1)
    return functional.cross_entropy(logits, torch.zeros_like(wanted))


def _ndcg(model: Any, held: list[Rows]) -> float:
    """NDCG@10 of the last item of each sequence, among the items not before it; 0 without sequences."""
    import torch

    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(held), BATCH):
            part = held[start : start + BATCH]
            inputs = np.zeros((len(part), LENGTH), np.int64)
            last = np.empty(len(part), np.int64)
            for row, sequence in enumerate(part):
                recent = sequence[:-1][-LENGTH:]
                inputs[row, : len(recent)] = recent
                last[row] = len(recent) - 1
            states = model(torch.from_numpy(inputs))[torch.arange(len(part)), torch.from_numpy(last)]
            logits = model.logits(states).numpy()
            for scores, sequence in zip(logits, part, strict=True):
                wanted = scores[sequence[-1]]
                scores[sequence[:-1]] = -np.inf
                place = int((scores > wanted).sum())
                total += 1 / np.log2(place + 2) if place < 10 else 0.0
    return total / max(len(held), 1)
