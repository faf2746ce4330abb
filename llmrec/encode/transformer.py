"""The encoder of a model folder: tokenizer, batches and an engine put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llmrec.encode.base import Kind
from llmrec.encode.batches import Batch, pad_batches
from llmrec.encode.folder import ModelFolder
from llmrec.encode.tokens import FolderTokenizer
from llmrec.errors import AssetError

_TYPICAL_TOKENS = 128


class Engine(Protocol):
    """Computes vectors of token sequences."""

    dimension: int
    weight_bytes: int
    """Bytes of the weights in the precision that they are computed in."""

    def run(self, batches: Iterable[Batch], out: NDArray[np.float32]) -> None:
        """Write the vector of each sequence, not normalised, to its row of ``out``."""


class TransformerEncoder:
    """A transformer as an :class:`~llmrec.encode.base.Encoder`.

    Args:
        folder: the model.
        fingerprint: see :func:`~llmrec.encode.load.encoder_fingerprint`.
        tokenizer: of the model.
        engine: that runs the model.
        batch_size: texts of 128 tokens that are computed at once; more of shorter texts, fewer of longer.
    """

    def __init__(
        self,
        folder: ModelFolder,
        fingerprint: str,
        tokenizer: FolderTokenizer,
        engine: Engine,
        *,
        batch_size: int,
    ) -> None:
        self.name = folder.name
        self.fingerprint = fingerprint
        self.dimension = engine.dimension
        self.weight_bytes = engine.weight_bytes
        self.max_tokens = tokenizer.max_tokens
        self.count_tokens = tokenizer.count_tokens
        self.cut = tokenizer.cut
        self._tokenizer = tokenizer
        self._engine = engine
        self._pad_token = folder.pad_token
        self._token_budget = batch_size * _TYPICAL_TOKENS

    def encode(self, texts: Sequence[str], *, kind: Kind = "item") -> NDArray[np.float32]:
        """Vectors of the texts, in their order: ``(len(texts), dimension)``, rows of unit length.

        Equal texts are computed once.

        Raises:
            AssetError: the model gives a vector that has no direction; its weights are damaged.
        """
        places: dict[str, int] = {}
        rows = np.array([places.setdefault(text, len(places)) for text in texts], dtype=np.intp)
        sequences = self._tokenizer.sequences(list(places), kind)
        vectors = np.empty((len(places), self.dimension), dtype=np.float32)
        self._engine.run(pad_batches(sequences, self._token_budget, self._pad_token), vectors)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.all(np.isfinite(lengths) & (lengths > 0)):
            raise AssetError(
                f"{self.name}: gives vectors that are zero or not finite; its weights are damaged"
            )
        vectors /= lengths
        return vectors[rows]
