"""The network of SASRec: items and their positions in, states that predict the next item out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_BLOCKS = 2
_HEADS = 2


def network(items: int, length: int, dimension: int, dropout: float) -> Any:
    """A causal transformer, pre-norm, its output tied to the item embeddings.

    Called with item numbers, (sequences, at most ``length``), it gives states of the same shape by
    ``dimension``. ``logits(states)`` are of all items; ``items.weight`` and ``bias`` are the output layer.
    """
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.items = nn.Embedding(items, dimension)
            self.positions = nn.Embedding(length, dimension)
            nn.init.normal_(self.items.weight, std=0.02)
            nn.init.normal_(self.positions.weight, std=0.02)
            self.bias = nn.Parameter(torch.zeros(items))
            block = nn.TransformerEncoderLayer(
                dimension, _HEADS, 4 * dimension, dropout, "gelu", batch_first=True, norm_first=True
            )
            self.blocks = nn.TransformerEncoder(block, _BLOCKS, enable_nested_tensor=False)
            self.norm = nn.LayerNorm(dimension)
            self.dropout = nn.Dropout(dropout)

        def logits(self, states: torch.Tensor) -> torch.Tensor:
            return states @ self.items.weight.T + self.bias

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            count = rows.shape[1]
            states = self.items(rows) * dimension**0.5 + self.positions.weight[:count]
            mask = nn.Transformer.generate_square_subsequent_mask(count)
            states = self.blocks(self.dropout(states), mask=mask, is_causal=True)
            return torch.as_tensor(self.norm(states))

    return Network()
