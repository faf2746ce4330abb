"""Gradient descent of the fusion scorer's gates, in torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch.nn import functional

from llmrec.errors import TrainingError
from llmrec.rank.fusion import LARGEST, Gates
from llmrec.rank.learning import Example

_BATCH = 128
_RATE = 0.03
_SHRINKAGE = 1e-3


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


class Descent:
    """Adam over lists.

    Args:
        lists: to learn from.
        gated: whether weights may depend on user and item.
        seed: of the order of the lists.
    """

    def __init__(self, lists: Lists, gated: bool, seed: int) -> None:
        start = Gates.start(lists.values.shape[1])
        fixed = set() if gated else {"user", "item"}
        self.lists = lists
        self.random = torch.Generator().manual_seed(seed)
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
        """One pass over the lists.

        Raises:
            TrainingError: the loss became NaN or infinite.
        """
        for batch in self.lists.batches(torch.randperm(len(self.lists), generator=self.random)):
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
    def loss(self, lists: Lists) -> float:
        """Mean cross-entropy of the targets."""
        batches = lists.batches(torch.arange(len(lists)))
        return sum(float(self._loss(batch)) * len(batch) for batch in batches) / len(lists)

    def gates(self) -> Gates:
        """What was found."""
        return Gates(**{name: part.detach().numpy().copy() for name, part in self.parameters.items()})

    def _loss(self, lists: Lists) -> torch.Tensor:
        gates = self.parameters
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

    def _shrinkage(self) -> torch.Tensor:
        """Pulls the gates towards equal weights for all."""
        parts = self.parameters
        loose = torch.stack([parts[name].square().sum() for name in ("user", "item", "unknown", "prior")])
        return _SHRINKAGE * (loose.sum() + (parts["base"] - self.start).square().sum())


@contextmanager
def one_thread() -> Iterator[None]:
    """The tensors are small: more threads would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _filled(arrays: Sequence[np.ndarray], width: int, value: float = 0.0) -> torch.Tensor:
    """Arrays whose last axis is filled up to ``width``, stacked."""
    padded = [
        np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, width - array.shape[-1])], constant_values=value)
        for array in arrays
    ]
    return torch.from_numpy(np.stack(padded))
