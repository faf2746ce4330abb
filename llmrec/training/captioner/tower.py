"""Pictures through the frozen part of a vision tower, into the store of features."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.config import MediaSettings
from llmrec.errors import MediaError, TrainingError
from llmrec.media.picture import read_picture
from llmrec.modality.blip.folder import BlipFolder
from llmrec.modality.blip.pixels import to_pixels
from llmrec.progress import Progress
from llmrec.training.captioner.features import FeatureStore
from llmrec.training.captioner.pairs import LeftOut, Pair
from llmrec.training.runs import disk

_SCHEME = "features 1"
"""Raised whenever pictures are opened or looked at in another way."""


class Tower:
    """The first layers of a vision tower, which stay as they are.

    Args:
        model: a ``BlipForConditionalGeneration``.
        folder: its files.
        layers: how many of the tower's layers; what comes before them belongs to it too.
        limits: on pictures.
        batch: pictures that are looked at together.
        bfloat16: whether to compute in it; what comes out is float16.
    """

    def __init__(
        self,
        model: Any,
        folder: BlipFolder,
        layers: int,
        limits: MediaSettings,
        batch: int,
        *,
        bfloat16: bool,
    ) -> None:
        self.vision, self.folder, self.layers, self.limits = model.vision_model, folder, layers, limits
        self.batch, self.bfloat16 = batch, bfloat16

    def store(self, root: Path) -> FeatureStore:
        """Where its features are kept: by its weights and all else that decides them."""
        embeddings = self.vision.embeddings
        return FeatureStore(root / self._key(), embeddings.num_positions, embeddings.embed_dim)

    def fill(self, store: FeatureStore, pairs: Sequence[Pair], progress: Progress) -> list[LeftOut]:
        """Look at the pictures that the store lacks; returns those that cannot be read.

        A run that was stopped goes on at the batch that it was at.

        Raises:
            TrainingError: the disk is full, another run is writing, or the tower gives no numbers.
            MissingExtraError: Pillow is not installed.
        """
        left_out: list[LeftOut] = []
        with disk(store.folder), store.writing():
            missing = {*store.missing([pair.content for pair in pairs])}
            wanted = [pair for pair in pairs if pair.content in missing]
            store.check_space(len(wanted))
            seen = len(pairs) - len(wanted)
            with progress.task("Looking at pictures", len(pairs), "pictures", done=seen) as task:
                opened = self._opened(wanted, left_out)
                while some := [*islice(opened, self.batch)]:
                    rows = self._features(np.stack([pixels for _, pixels in some]))
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
                frame = read_picture(io.BytesIO(content), self.limits).frames[0]
                yield pair, to_pixels(frame.pixels, self.folder.pixels)
            except (OSError, MediaError) as error:
                reason = (
                    error.message if isinstance(error, MediaError) else f"cannot be read: {error.strerror}"
                )
                left_out.append(
                    LeftOut(pair.where, pair.path.name, "picture not readable", reason, pair.content)
                )

    def _features(self, pixels: NDArray[np.float32]) -> NDArray[np.float16]:
        import torch

        device = self.vision.embeddings.class_embedding.device
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
            hidden = self.vision.embeddings(torch.from_numpy(pixels).to(device))
            for layer in self.vision.encoder.layers[: self.layers]:
                hidden = layer(hidden)
            rows: NDArray[np.float16] = hidden.half().cpu().numpy()
        if not np.isfinite(rows).all():
            raise TrainingError(
                f"{self.folder.name}: the vision tower gives values that are no numbers, or beyond float16",
                "Its weights are damaged; get them again.",
            )
        return rows

    def _key(self) -> str:
        digest = hashlib.sha256()
        parts = [self.vision.embeddings, *self.vision.encoder.layers[: self.layers]]
        for part in parts:
            for tensor in part.state_dict().values():
                digest.update(tensor.float().cpu().numpy().tobytes())
        pixels = self.folder.pixels.model_dump(mode="json")
        known = [_SCHEME, self.layers, self.bfloat16, self.limits.max_side, pixels]
        digest.update(json.dumps(known, sort_keys=True).encode())
        return digest.hexdigest()[:32]
