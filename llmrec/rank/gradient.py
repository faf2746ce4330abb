"""Gradient descent of the fusion scorer's gates, in torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
import torch
from torch.nn import functional

from llmrec.errors import TrainingError
from llmrec.rank.fusion import LARGEST, Gates
from llmrec.rank.learning import Example

_BATCH = 128
_RATE = 0.03
_SHRINKAGE = 1e-3


class Descent:
    """Adam over the examples.

    Args:
        examples: to learn from.
        gated: whether weights may depend on user and item.
        seed: of the order of the examples.
    """

    def __init__(self, examples: Sequence[Example], gated: bool, seed: int) -> None:
        start = Gates.start(len(examples[0].values))
        fixed = set() if gated else {"user", "item"}
        self.examples = examples
        self.rng = np.random.default_rng(seed)
        self.start = torch.from_numpy(start.base.copy())
        self.parameters = {
            field.name: torch.from_numpy(getattr(start, field.name).copy()).requires_grad_(
                field.name not in fixed
            )
            for field in fields(Gates)
        }
        trained = [parameter for parameter in self.parameters.values() if parameter.requires_grad]
        self.optimiser = torch.optim.Adam(trained, lr=_RATE)

    def epoch(self, number: int) -> None:
        """One pass over the examples.

        Raises:
            TrainingError: the loss became NaN or infinite.
        """
        for batch in _batches([self.examples[at] for at in self.rng.permutation(len(self.examples))]):
            loss = self._loss(batch) + self._shrinkage()
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"fusion scorer: the loss became {loss.item()} in epoch {number}",
                    "The scorer in use stays.",
                )
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()

    @torch.no_grad()
    def loss(self, examples: Sequence[Example]) -> float:
        """Mean cross-entropy of the targets."""
        losses = [(float(self._loss(batch)), len(batch)) for batch in _batches(examples)]
        return sum(loss * count for loss, count in losses) / sum(count for _, count in losses)

    def gates(self) -> Gates:
        """What was found."""
        return Gates(**{name: part.detach().numpy().copy() for name, part in self.parameters.items()})

    def _loss(self, batch: Sequence[Example]) -> torch.Tensor:
        """Of one batch; shorter lists are filled up with candidates that no one can choose."""
        width = max(len(example.offset) for example in batch)
        values = _filled([example.values for example in batch], width)
        known = _filled([example.known.astype(np.float32) for example in batch], width)
        items = _filled([example.items.T for example in batch], width)
        offset = _filled([example.offset for example in batch], width, -np.inf)
        user = torch.from_numpy(np.stack([example.user for example in batch]))
        gates = self.parameters
        logarithm = (
            gates["base"][None, :, None]
            + (user @ gates["user"].T)[:, :, None]
            + torch.einsum("cf,bfn->bcn", gates["item"], items)
        )
        shares = torch.exp(logarithm.clamp(max=LARGEST)) * values
        # A channel that knows none of the candidates had nothing to say: no constant for it.
        silent = known.amax(dim=2, keepdim=True) == 0
        shares = torch.where((known == 0) & ~silent, gates["unknown"][None, :, None], shares)
        total = shares.sum(dim=1) + torch.einsum("f,bfn->bn", gates["prior"], items) + offset
        return functional.cross_entropy(total, torch.zeros(len(batch), dtype=torch.long))

    def _shrinkage(self) -> torch.Tensor:
        """Pulls the gates towards equal weights for all."""
        parts = self.parameters
        loose = torch.stack([parts[name].square().sum() for name in ("user", "item", "unknown", "prior")])
        return _SHRINKAGE * (loose.sum() + (parts["base"] - self.start).square().sum())


def _batches(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    for start in range(0, len(examples), _BATCH):
        yield examples[start : start + _BATCH]


def _filled(arrays: Sequence[np.ndarray], width: int, value: float = 0.0) -> torch.Tensor:
    """Arrays whose last axis is filled up to ``width``, stacked."""
    padded = [
        np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, width - array.shape[-1])], constant_values=value)
        for array in arrays
    ]
    return torch.from_numpy(np.stack(padded))
