"""What an encoder is: text in, unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Kind = Literal["item", "user", "query"]
"""What a text describes; models trained with a prompt for each side of the search want to know."""


class Tokenizer(Protocol):
    """Counts and cuts text in the tokens of one model."""

    @property
    def max_tokens(self) -> int:
        """Content tokens that fit: a text of at most that many is encoded whole, a longer one is cut."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Content tokens of each text, without the special ones that the model adds."""

    def cut(self, text: str, tokens: int) -> str:
        """The longest prefix of ``text`` that ends between two tokens and has at most ``tokens`` of them."""


class Encoder(Tokenizer, Protocol):
    """A model that maps text to vectors. Safe to call from several threads."""

    @property
    def fingerprint(self) -> str:
        """Identity (hex) of everything that decides the vectors, but for the engine that computes them."""

    @property
    def dimension(self) -> int:
        """Components of a vector."""

    def encode(self, texts: Sequence[str], *, kind: Kind = "item") -> NDArray[np.float32]:
        """Vectors of the texts, in their order: ``(len(texts), dimension)``, rows of unit length."""
