"""The transformer in torch, as it is trained.

It is SASRec (Kang & McAuley, ICDM 2018) with normalisation first. An item's embedding is a projection of its
text's vector plus an embedding of its own. The latter is left out for a part of the items at each step, so
that items that training never saw are scored from their text on the same scale.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from llmrec.rank.sequence.forward import HEADS, LENGTH

WIDTH = 64
BLOCKS = 2
DROPOUT = 0.3
WITHOUT_ID = 0.2
"""Share of the items that are known by their text only, drawn at each step."""


class Block(nn.Module):
    """Self-attention and a feed-forward layer, each normalised first."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """States (batch, length, WIDTH); ``mask`` says what each place sees, (batch, 1, length, length)."""
        batch, length, _ = hidden.shape
        parts = self.qkv(self.norm1(hidden)).view(batch, length, 3, HEADS, WIDTH // HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        hidden = hidden + self.dropout(self.out(seen.transpose(1, 2).reshape(batch, length, WIDTH)))
        inner = functional.gelu(self.up(self.norm2(hidden)))
        found: torch.Tensor = hidden + self.dropout(self.down(inner))
        return found


class Network(nn.Module):
    """The transformer over ``items`` items whose texts have vectors of ``dimension``."""

    def __init__(self, items: int, dimension: int) -> None:
        super().__init__()
        self.content = nn.Linear(dimension, WIDTH, bias=False)
        self.own = nn.Parameter(torch.randn(items, WIDTH) * 0.02)
        self.bias = nn.Parameter(torch.zeros(items))
        self.position = nn.Parameter(torch.randn(LENGTH, WIDTH) * 0.02)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(DROPOUT)

    def embeddings(self, vectors: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding (rows, WIDTH) and bias (rows,) of ``rows``; of some by their text only."""
        kept = (torch.rand(len(rows)) >= WITHOUT_ID).float()
        return self.content(vectors[rows]) + self.own[rows] * kept[:, None], self.bias[rows] * kept

    def forward(self, embedded: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """States after each place.

        Args:
            embedded: embeddings of the items, times SCALE, (batch, length, WIDTH).
            present: which places hold an item, (batch, length); the empty ones come first.
        """
        length = embedded.shape[1]
        hidden = self.dropout(embedded + self.position[-length:])
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        itself = torch.eye(length, dtype=torch.bool)  # an empty place must see something
        mask = (causal & present[:, None, None, :]) | itself
        for block in self.blocks:
            hidden = block(hidden, mask)
        found: torch.Tensor = self.norm(hidden)
        return found
