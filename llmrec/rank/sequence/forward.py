"""The transformer's forward pass in NumPy: answers need no torch, which takes seconds to import.

Blocks with normalisation first (Xiong et al., ICML 2020), as in :mod:`llmrec.rank.sequence.network`; a test
holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]

HEADS = 2
LENGTH = 50
"""Newest items of a history that are read."""
SCALE = np.float32(4)
"""Of an item's embedding where it is read: as large as a state."""

_EPSILON = np.float32(1e-5)


def last_state(weights: Weights, items: Floats) -> Floats:
    """What the transformer makes of a history.

    Args:
        weights: of the network, by torch's names.
        items: embeddings of the history, the oldest first, (at most ``LENGTH``, width).

    Returns:
        The state after the newest item, (width,).
    """
    hidden = items + weights["position"][-len(items) :]
    blocks = sum(name.startswith("blocks.") and name.endswith(".qkv.weight") for name in weights)
    for number in range(blocks):
        part = {
            name.removeprefix(prefix): array
            for name, array in weights.items()
            if name.startswith(prefix := f"blocks.{number}.")
        }
        newest = number == blocks - 1
        hidden = _block(part, hidden, newest)
    state: Floats = _normed(hidden, weights["norm.weight"], weights["norm.bias"])[-1]
    return state


def _block(weights: Weights, hidden: Floats, newest: bool) -> Floats:
    """One block; of the last one only the ``newest`` state is wanted."""
    length, width = hidden.shape
    normed = _normed(hidden, weights["norm1.weight"], weights["norm1.bias"])
    projected = normed @ weights["qkv.weight"].T + weights["qkv.bias"]
    query, key, value = projected.reshape(length, 3, HEADS, width // HEADS).transpose(1, 2, 0, 3)
    if newest:
        query, hidden = query[:, -1:], hidden[-1:]
    logits = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(width // HEADS))
    if not newest:
        logits = np.where(np.tri(length, dtype=bool), logits, -np.inf)
    attention = np.exp(logits - logits.max(axis=-1, keepdims=True))
    attention /= attention.sum(axis=-1, keepdims=True)
    mixed = (attention @ value).transpose(1, 0, 2).reshape(len(hidden), width)
    hidden = hidden + mixed @ weights["out.weight"].T + weights["out.bias"]
    normed = _normed(hidden, weights["norm2.weight"], weights["norm2.bias"])
    inner = normed @ weights["up.weight"].T + weights["up.bias"]
    inner = inner * (1 + erf(inner / np.float32(np.sqrt(2)))) / 2
    return np.asarray(hidden + inner @ weights["down.weight"].T + weights["down.bias"], np.float32)


def _normed(hidden: Floats, weight: Floats, bias: Floats) -> Floats:
    centred = hidden - hidden.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + _EPSILON) * weight + bias)
