"""A trained network as a BLIP folder that transformers loads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.errors import TrainingError
from llmrec.runtime.libraries import quiet

if TYPE_CHECKING:
    from llmrec.training.captioner.network import CaptionNetwork

_COPIED = (
    *("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json", "added_tokens.json"),
    *("processor_config.json", "preprocessor_config.json"),
)
_BASE_LAYER, _ADAPTER = ".base_layer.", ".lora_"


def write_blip(network: CaptionNetwork, base: Path, folder: Path) -> None:
    """Write configuration and weights, an adapter merged into them, and the tokenizer of the base.

    Args:
        network: as it is.
        base: folder of the model that it was made from.
        folder: an existing one.

    Raises:
        TrainingError: a weight is not finite.
        OSError: the disk is full, or the folder cannot be written.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import BlipForConditionalGeneration

    with quiet(), torch.random.fork_rng():  # the weights that it begins with are drawn
        whole = BlipForConditionalGeneration(network.blip.config)
        whole.load_state_dict(_merged(network.blip))
        whole.tie_weights()
        whole.generation_config = network.blip.generation_config
        try:
            whole.save_pretrained(folder)
        except SafetensorError as error:  # of a full disk; the library has an error of its own for all
            raise OSError(str(error)) from error
    copy_companions(base, folder)


def copy_companions(source: Path, folder: Path, *more: str) -> list[str]:
    """Copy the tokenizer's and the pictures' files of a BLIP folder, and ``more`` of it; the names found."""
    found = [name for name in (*more, *_COPIED) if (source / name).is_file()]
    for name in found:
        shutil.copyfile(source / name, folder / name)
    return found


def _merged(blip: Any) -> dict[str, Any]:
    """The weights by their names without an adapter."""
    import torch
    from peft.tuners.lora import LoraLayer

    weights = {
        name.replace(_BASE_LAYER, "."): tensor.detach().cpu()
        for name, tensor in blip.state_dict().items()
        if _ADAPTER not in name
    }
    for name, layer in blip.named_modules():
        if isinstance(layer, LoraLayer):
            for adapter in layer.active_adapters:
                update = layer.get_delta_weight(adapter).detach().cpu()
                weights[f"{name}.weight"] = weights[f"{name}.weight"] + update
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise TrainingError(f"fine-tuning: the weights of {name} are not finite", "Lower learning_rate.")
    return weights
