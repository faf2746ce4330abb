"""The captioner of a BLIP folder: pictures, tokens and an engine put together."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import AssetError
from llmrec.media.types import Picture
from llmrec.modality.base import Caption
from llmrec.modality.blip.folder import BlipFolder
from llmrec.modality.blip.pixels import to_pixels
from llmrec.modality.blip.words import CaptionTokenizer


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a caption's tokens are found.

    Args:
        prefix: tokens that begin every caption, the start token first.
        beams: 1 is greedy.
        min_new_tokens: before the end token is allowed.
        max_new_tokens: the end token included.
    """

    prefix: tuple[int, ...]
    beams: int
    min_new_tokens: int
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine says of one picture.

    Args:
        tokens: after the prefix; the end token included, where it was reached.
        log_probabilities: of each of them, with the picture.
        blank: the same with a blank picture.
    """

    tokens: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    blank: tuple[float, ...]


class Engine(Protocol):
    """Runs a BLIP model. Safe to call from ``workers`` threads."""

    workers: int
    """Calls of :meth:`describe` that are worth making at once."""

    def describe(self, pixels: NDArray[np.float32]) -> list[Answer]:
        """An answer for each picture of ``(n, 3, height, width)``."""


class BlipCaptioner:
    """A BLIP model as a :class:`~llmrec.modality.base.Captioner`. Safe to call from several threads.

    Args:
        folder: the model.
        fingerprint: see :func:`~llmrec.modality.blip.load.captioner_fingerprint`.
        tokenizer: of the model.
        engine: that runs the model.
        batch_size: most pictures that are computed at once.
        min_word_probability: see :class:`~llmrec.config.CaptionSettings`.
    """

    def __init__(
        self,
        folder: BlipFolder,
        fingerprint: str,
        tokenizer: CaptionTokenizer,
        engine: Engine,
        *,
        batch_size: int,
        min_word_probability: float,
    ) -> None:
        self.name = folder.name
        self.fingerprint = fingerprint
        self._folder = folder
        self._tokenizer = tokenizer
        self._engine = engine
        self._batch_size = batch_size
        self._least = min_word_probability
        self._workers = ThreadPoolExecutor(engine.workers, thread_name_prefix="caption")

    def caption(self, pictures: Sequence[Picture]) -> list[Caption]:
        """One caption a picture, in their order; independent of which pictures stand beside it.

        Raises:
            AssetError: the model gives probabilities that are no numbers; its weights are damaged.
        """
        return [self.sure_part(answer, self._least) for answer in self.describe(pictures)]

    def describe(self, pictures: Sequence[Picture]) -> list[Answer]:
        """What the engine says of each picture."""
        # A batch for each worker where there are few pictures, so that none of them waits.
        size = min(self._batch_size, -(-len(pictures) // self._engine.workers)) or 1
        batches = [pictures[start : start + size] for start in range(0, len(pictures), size)]
        return [answer for batch in self._workers.map(self._batch, batches) for answer in batch]

    def sure_part(self, answer: Answer, min_word_probability: float) -> Caption:
        """An answer up to the first word that is less likely; all of it, as unsure, if nothing is left.

        Raises:
            AssetError: the model gives probabilities that are no numbers; its weights are damaged.
        """
        kept = self._tokenizer.sure(answer.tokens, answer.log_probabilities, min_word_probability)
        tokens = answer.tokens[:kept] if kept else answer.tokens
        mean = fmean(answer.log_probabilities[: len(tokens)])
        margin = mean - fmean(answer.blank[: len(tokens)])
        if not isfinite(margin):
            raise AssetError(
                f"{self.name}: the model gives probabilities that are no numbers",
                "Its weights are damaged; get them again.",
            )
        return Caption(self._tokenizer.text(tokens), mean, margin, unsure=not kept)

    def _batch(self, pictures: Sequence[Picture]) -> list[Answer]:
        pixels = np.stack([to_pixels(picture, self._folder.pixels) for picture in pictures])
        return self._engine.describe(pixels)
