"""The frozen part of a vision tower."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.config import MediaSettings
from llmrec.media.types import Picture
from llmrec.modality.blip.folder import BlipFolder
from llmrec.modality.blip.pixels import to_pixels
from llmrec.training.captioner.features import Features, FeatureStore
from llmrec.training.captioner.looking import Looker

_SCHEME = "features 1"
"""Raised whenever pictures are opened or looked at in another way."""


class Tower(Looker):
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
        super().__init__(f"the vision tower of {folder.name}", limits, batch)
        self.vision, self.folder, self.layers, self.bfloat16 = model.vision_model, folder, layers, bfloat16

    def store(self, root: Path) -> FeatureStore:
        """See :class:`Looker`."""
        embeddings = self.vision.embeddings
        return FeatureStore(root / self._key(), embeddings.num_positions, embeddings.embed_dim)

    def pixels(self, picture: Picture) -> NDArray[np.float32]:
        """See :class:`Looker`."""
        return to_pixels(picture, self.folder.pixels)

    def features(self, pixels: NDArray[np.float32]) -> Features:
        """See :class:`Looker`."""
        import torch

        device = self.vision.embeddings.class_embedding.device
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
            hidden = self.vision.embeddings(torch.from_numpy(pixels).to(device))
            for layer in self.vision.encoder.layers[: self.layers]:
                hidden = layer(hidden)
            rows: Features = hidden.half().cpu().numpy()
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
