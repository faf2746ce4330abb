"""The model that is trained: a BLIP model of which the first part of the vision tower has been computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from llmrec.errors import TrainingError

STATE = "trained.safetensors"


class CaptionNetwork(nn.Module):
    """From features of pictures and tokens of captions to the logits of the tokens that follow.

    Args:
        blip: a ``BlipForConditionalGeneration``; an adapter may be on its decoder.
        in_bfloat16: whether to compute in it.
    """

    def __init__(self, blip: Any, *, in_bfloat16: bool) -> None:
        super().__init__()
        self.blip = blip
        self.in_bfloat16 = in_bfloat16
        self.computed = len(blip.vision_model.encoder.layers)
        """Layers of the vision tower that features have behind them."""
        self.teller: nn.Linear | None = None
        """From the tokens of a picture to what a teacher sees; no part of the result."""

    def train_vision(self, layers: int) -> None:
        """Let the last ``layers`` of the vision tower be trained, with the norm that follows them."""
        vision = self.blip.vision_model
        self.computed = len(vision.encoder.layers) - layers
        vision.requires_grad_(False)
        if layers:
            vision.encoder.layers[self.computed :].requires_grad_(True)
            vision.post_layernorm.requires_grad_(True)

    def be_taught(self, channels: int, seed: int) -> None:
        """Let the tokens of pictures learn to tell a teacher's features of ``channels`` values."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            teller = nn.Linear(self.blip.config.vision_config.hidden_size, channels)
        self.teller = teller.to(next(self.parameters()).device)

    def patches(self, features: Tensor) -> Tensor:
        """What the decoder looks at: (pictures, tokens, width)."""
        with self._precision(features):
            vision = self.blip.vision_model
            for layer in vision.encoder.layers[self.computed :]:
                features = layer(features)
            patches: Tensor = vision.post_layernorm(features)
        return patches

    def forward(self, features: Tensor, input_ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits, (captions, tokens, vocabulary), of the token after each, and what a teacher would see.

        Args:
            features: (captions, tokens of a picture, width).
            input_ids: (captions, tokens); what fills up short ones stands at their end, where no token before
                looks.

        Returns:
            The logits, and (captions, tokens of a picture, channels), None without a teacher.
        """
        with self._precision(features):
            patches = self.patches(features)
            logits: Tensor = self.blip.text_decoder(
                input_ids=input_ids, encoder_hidden_states=patches, use_cache=False
            ).logits
            told = None if self.teller is None else self.teller(patches).float()
        return logits.float(), told

    def _precision(self, features: Tensor) -> Any:
        return torch.autocast(features.device.type, torch.bfloat16, enabled=self.in_bfloat16)


@contextmanager
def evaluating(network: CaptionNetwork) -> Iterator[None]:
    """Without dropout and gradients for a while."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)


class TrainedWeights:
    """What a run keeps of a network in a checkpoint: the weights that are trained."""

    def write(self, model: Any, folder: Path) -> None:
        """Write them as safetensors.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: weights.detach().cpu().contiguous() for name, weights in trained(model).items()}
        (folder / STATE).write_bytes(save(tensors, metadata={"format": "pt"}))

    def read(self, model: Any, folder: Path) -> None:
        """Put them back.

        Raises:
            TrainingError: they are missing, damaged, or of another run.
        """
        try:
            found = load_file(folder / STATE)
        except Exception as error:  # a damaged file raises an error of the library, a missing one another
            raise TrainingError(f"{folder / STATE}: cannot be read: {error}") from error
        restore(model, found, folder / STATE)


def trained(network: nn.Module) -> dict[str, Tensor]:
    """The weights that are trained, by name."""
    return {name: weights for name, weights in network.named_parameters() if weights.requires_grad}


def restore(network: nn.Module, values: dict[str, Tensor], source: object = "the state") -> None:
    """Give the weights that are trained their former values.

    Raises:
        TrainingError: ``values`` are of other weights; names ``source``.
    """
    weights = trained(network)
    if {name: value.shape for name, value in values.items()} != {
        name: value.shape for name, value in weights.items()
    }:
        raise TrainingError(f"{source}: is of another run", "Begin anew under another --name.")
    with torch.no_grad():
        for name, value in values.items():
            weights[name].copy_(value)
