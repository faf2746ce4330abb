"""Encoders and explainers for tests, found as any user's would be: through entry points.

``tests/conftest.py`` puts this folder on the path of the tests and of the processes they start.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+|[^\w\s]")


class WordEncoder:
    """Texts as sums of random directions, one for each word; equal texts are equal, similar ones are near.

    Where ``LLMREC_TEST_ENCODED`` names a file, every text that is encoded is appended to it as a line.
    """

    dimension = 32
    max_tokens = 64

    def __init__(self, settings: object) -> None:
        self.fingerprint = f"{type(self).__name__}-1"

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(_WORD.findall(text)) for text in texts]

    def cut(self, text: str, tokens: int) -> str:
        ends = [match.end() for match in _WORD.finditer(text)]
        return text if len(ends) <= tokens else text[: ends[tokens - 1]] if tokens > 0 else ""

    def encode(self, texts: Sequence[str], *, kind: str = "item") -> NDArray[np.float32]:
        if log := os.environ.get("LLMREC_TEST_ENCODED"):
            with Path(log).open("a", encoding="utf-8") as file:
                file.writelines(text.replace("\n", " ") + "\n" for text in texts)
        vectors = np.array([self._vector(text) for text in texts], np.float32)
        return vectors.reshape(len(texts), self.dimension)

    def _vector(self, text: str) -> NDArray[np.float32]:
        total = np.full(self.dimension, 1e-3)
        for word in _WORD.findall(text.casefold()):
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
            total += np.random.default_rng(seed).standard_normal(self.dimension)
        return (total / np.linalg.norm(total)).astype(np.float32)


class WideWordEncoder(WordEncoder):
    """The same with more dimensions, as another model would have."""

    dimension = 48


class SlowWordEncoder(WordEncoder):
    """Takes ``LLMREC_TEST_SECONDS`` (0.3) for each call, so that a test can interrupt it."""

    def encode(self, texts: Sequence[str], *, kind: str = "item") -> NDArray[np.float32]:
        time.sleep(float(os.environ.get("LLMREC_TEST_SECONDS", "0.3")))
        return super().encode(texts, kind=kind)


class Liar:
    """An explainer that names an item that nobody spoke of."""

    fingerprint = "liar-1"

    def generate(
        self, system: str, user: str, *, max_tokens: int, timeout: float, grammar: str | None = None
    ) -> str:
        return 'You may like it because you liked "The Film That Does Not Exist" [1].'
