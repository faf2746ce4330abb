"""How likely the fusion scorer's gates make the targets, and in which direction they would be likelier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from llmrec.rank.fusion import LARGEST, Gates
from llmrec.rank.learning import Example

_BATCH = 128
_PRIOR = {"base": 1.0, "user": 5.0, "item": 5.0, "unknown": 1.0, "prior": 1.0}
"""Weights of the prior. With 1 for all, what gates learn of some circumstances misleads in others: 5 was
better on validation, by 2% (all events after a time), 5% (new users) and 1% (each user's last event)."""


@dataclass(frozen=True, slots=True)
class Lists:
    """Examples as tensors; shorter ones are filled up with candidates that no one can choose.

    Args:
        values: (examples, channels, candidates); likewise ``known``, as 0 and 1.
        user: (examples, USER).
        items: (examples, ITEM, candidates).
        offset: (examples, candidates).
    """

    values: torch.Tensor
    known: torch.Tensor
    user: torch.Tensor
    items: torch.Tensor
    offset: torch.Tensor

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Lists:
        """Stack them."""
        width = max(len(example.offset) for example in examples)
        return cls(
            _filled([example.values for example in examples], width),
            _filled([example.known.astype(np.float32) for example in examples], width),
            torch.from_numpy(np.stack([example.user for example in examples])),
            _filled([example.items.T for example in examples], width),
            _filled([example.offset for example in examples], width, -np.inf),
        )

    def __len__(self) -> int:
        return len(self.values)

    def batches(self, order: torch.Tensor) -> Iterator[Lists]:
        """Those at ``order``, some at a time."""
        for chosen in order.split(_BATCH):  # type: ignore[no-untyped-call]
            yield Lists(*(getattr(self, field.name)[chosen] for field in fields(Lists)))


class Objective:
    """What the best gates minimise: mean cross-entropy of the targets, and a prior around equal weights.

    The prior is a normal one, of variance 1 / (2 :data:`_PRIOR`), so that its share shrinks with the number
    of lists.

    Args:
        lists: to learn from.
        gated: whether weights may depend on user and item.
    """

    def __init__(self, lists: Lists, gated: bool) -> None:
        self.lists = lists
        start = Gates.start(lists.values.shape[1])
        self.start = {field.name: torch.from_numpy(getattr(start, field.name)) for field in fields(Gates)}
        self.fixed = set() if gated else {"user", "item"}

    @property
    def origin(self) -> NDArray[np.float64]:
        """Where the search begins: equal weights for all, as one vector."""
        return np.concatenate([part.numpy().ravel() for part in self.start.values()]).astype(np.float64)

    def __call__(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Value and gradient at a point, both NaN or infinite where the lists are."""
        parts = {
            name: part.requires_grad_(name not in self.fixed) for name, part in self._parts(point).items()
        }
        value = 0.0
        for batch in self.lists.batches(torch.arange(len(self.lists))):
            loss = self._loss(parts, batch) * (len(batch) / len(self.lists))
            loss.backward()  # type: ignore[no-untyped-call]
            value += loss.item()
        away = [_PRIOR[name] * (part - self.start[name]).square().sum() for name, part in parts.items()]
        prior = torch.stack(away).sum() / len(self.lists)
        prior.backward()  # type: ignore[no-untyped-call]
        gradient = [
            np.zeros(part.numel()) if part.grad is None else part.grad.numpy().ravel()
            for part in parts.values()
        ]
        return value + prior.item(), np.concatenate(gradient).astype(np.float64)

    def gates(self, point: NDArray[np.float64]) -> Gates:
        """The gates that a point stands for."""
        return Gates(**{name: part.numpy() for name, part in self._parts(point).items()})

    def _parts(self, point: NDArray[np.float64]) -> dict[str, torch.Tensor]:
        parts, start = {}, 0
        for name, like in self.start.items():
            part = point[start : start + like.numel()].astype(np.float32)
            parts[name] = torch.from_numpy(part.reshape(like.shape))
            start += like.numel()
        return parts

    def _loss(self, gates: dict[str, torch.Tensor], lists: Lists) -> torch.Tensor:
        logarithm = (
            gates["base"][None, :, None]
            + (lists.user @ gates["user"].T)[:, :, None]
            + torch.einsum("cf,bfn->bcn", gates["item"], lists.items)
        )
        shares = torch.exp(logarithm.clamp(max=LARGEST)) * lists.values
        # A channel that knows none of the candidates had nothing to say: no constant for it.
        silent = lists.known.amax(dim=2, keepdim=True) == 0
        shares = torch.where((lists.known == 0) & ~silent, gates["unknown"][None, :, None], shares)
        prior = torch.einsum("f,bfn->bn", gates["prior"], lists.items)
        total = shares.sum(dim=1) + prior + lists.offset
        return functional.cross_entropy(total, torch.zeros(len(lists), dtype=torch.long))


def _filled(arrays: Sequence[np.ndarray], width: int, value: float = 0.0) -> torch.Tensor:
    """Arrays whose last axis is filled up to ``width``, stacked."""
    padded = [
        np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, width - array.shape[-1])], constant_values=value)
        for array in arrays
    ]
    return torch.from_numpy(np.stack(padded))
