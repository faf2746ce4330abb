"""Pictures through a frozen model, into the store of what it makes of them."""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.config import MediaSettings
from llmrec.errors import MediaError, TrainingError
from llmrec.media.picture import read_picture
from llmrec.media.types import Picture
from llmrec.progress import Progress
from llmrec.training.captioner.features import Features, FeatureStore
from llmrec.training.captioner.pairs import LeftOut, Pair
from llmrec.training.runs import disk


class Looker(ABC):
    """A model that stays as it is.

    Args:
        name: what errors call it.
        limits: on pictures.
        batch: pictures that are looked at together.
    """

    def __init__(self, name: str, limits: MediaSettings, batch: int) -> None:
        self.name, self.limits, self.batch = name, limits, batch

    @abstractmethod
    def store(self, root: Path) -> FeatureStore:
        """Where what it makes of pictures is kept: by its weights and all else that decides it."""

    @abstractmethod
    def pixels(self, picture: Picture) -> NDArray[np.float32]:
        """A picture as the model takes it: (3, height, width)."""

    @abstractmethod
    def features(self, pixels: NDArray[np.float32]) -> Features:
        """What it makes of pictures, (n, 3, height, width): (n, tokens, width)."""

    def fill(self, store: FeatureStore, pairs: Sequence[Pair], progress: Progress) -> list[LeftOut]:
        """Look at the pictures that the store lacks; returns those that cannot be read.

        A run that was stopped goes on at the batch that it was at.

        Raises:
            TrainingError: the disk is full, another run is writing, or the model gives no numbers.
            MissingExtraError: Pillow is not installed.
        """
        left_out: list[LeftOut] = []
        with disk(store.folder), store.writing():
            missing = {*store.missing([pair.content for pair in pairs])}
            wanted = [pair for pair in pairs if pair.content in missing]
            store.check_space(len(wanted))
            name, seen = f"Looking at pictures ({self.name})", len(pairs) - len(wanted)
            with progress.task(name, len(pairs), "pictures", done=seen) as task:
                opened = self._opened(wanted, left_out)
                while some := [*islice(opened, self.batch)]:
                    rows = self.features(np.stack([pixels for _, pixels in some]))
                    if not np.isfinite(rows).all():
                        raise TrainingError(
                            f"{self.name} gives values that are no numbers, or beyond float16",
                            "Its weights are damaged; get them again.",
                        )
                    store.append([pair.content for pair, _ in some], rows)
                    task.advance(len(some))
        return left_out

    def _opened(
        self, pairs: Sequence[Pair], left_out: list[LeftOut]
    ) -> Iterator[tuple[Pair, NDArray[np.float32]]]:
        for pair in pairs:
            try:
                content = pair.path.read_bytes()
                if hashlib.sha256(content).hexdigest() != pair.content:
                    raise MediaError("it changed while the run went on")
                yield pair, self.pixels(read_picture(io.BytesIO(content), self.limits).frames[0].pixels)
            except (OSError, MediaError) as error:
                reason = (
                    error.message if isinstance(error, MediaError) else f"cannot be read: {error.strerror}"
                )
                left_out.append(
                    LeftOut(pair.where, pair.path.name, "picture not readable", reason, pair.content)
                )
