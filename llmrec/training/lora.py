"""The LoRA adapter on a model: put there, written, read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmrec.errors import AdapterError, ConfigError, TrainingError
from llmrec.runtime.weights import import_bitsandbytes, keep_trainable
from llmrec.training.settings import LoraSettings

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_NAME = "default"
_PREFIX = "base_model.model."
_NOT_ADAPTED = ("pooler", "lm_head", "cls.predictions")
"""Parts of a name: layers that have no say in the vector of a text, or that choose words (the table of words
is theirs too)."""


def add_adapter(model: Any, settings: LoraSettings, seed: int) -> None:
    """Put a new adapter on a ``SentenceTransformer`` or causal model; only it is trained from then on.

    Until it is, it leaves the vectors as they are. The model's own dropout is switched off: a frozen model
    cannot learn to live with it, and an adapter gets rid of its noise by giving every text the same vector.

    Raises:
        ConfigError: the model has none of the layers named.
    """
    import_bitsandbytes()
    import torch
    from peft import LoraConfig

    network = network_of(model)
    names = [name for name, part in network.named_modules() if isinstance(part, torch.nn.Linear)]
    layers = _layers(names, settings.target_modules)
    if not layers:
        raise ConfigError(
            f"lora.target_modules: the model has no linear layer of these names: "
            f"{', '.join(settings.target_modules)}",
            f"It has, among others: {', '.join(names[:8])}.",
        )
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=layers,
        task_type="FEATURE_EXTRACTION" if network is not model else "CAUSAL_LM",
    )
    keep_trainable(network)
    for part in network.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network.add_adapter(config, adapter_name=_NAME)


@dataclass(frozen=True, slots=True)
class AdapterState:
    """What a run keeps of a model in a checkpoint: its adapter; ``base`` names the model."""

    base: str

    def write(self, model: Any, folder: Path) -> None:
        """See :func:`write_adapter`."""
        write_adapter(model, folder, self.base)

    def read(self, model: Any, folder: Path) -> None:
        """See :func:`read_adapter`."""
        read_adapter(model, folder)


def adapted_layers(model: Any) -> list[str]:
    """Names of the layers that the adapter on a model is on."""
    found = network_of(model).get_adapter_state_dict(_NAME)
    return sorted({name.partition(".lora_")[0] for name in found})


def network_of(model: Any) -> Any:
    """The transformers model in a ``SentenceTransformer``, or a transformers model itself."""
    import torch

    return model[0].auto_model if isinstance(model, torch.nn.Sequential) else model


def write_adapter(model: Any, folder: Path, base: str) -> None:
    """Write weights and configuration as PEFT reads them; ``base`` names the model that they belong to.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    network = network_of(model)
    tensors = {
        f"{_PREFIX}{name}": tensor.detach().cpu().contiguous()
        for name, tensor in network.get_adapter_state_dict(_NAME).items()
    }
    (folder / WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))
    config = network.peft_config[_NAME].to_dict() | {"base_model_name_or_path": base, "inference_mode": True}
    text = json.dumps({name: _plain(value) for name, value in sorted(config.items())}, indent=2)
    (folder / CONFIG).write_text(f"{text}\n", encoding="utf-8")


def read_adapter(model: Any, folder: Path) -> None:
    """Read weights into the adapter that is on the model.

    Raises:
        TrainingError: they are missing, damaged, or of another adapter.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    network = network_of(model)
    try:
        found = load_file(folder / WEIGHTS)
    except Exception as error:  # a damaged file raises an error of the library, a missing one another
        raise TrainingError(f"{folder / WEIGHTS}: cannot be read: {error}") from error
    tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in found.items()}
    expected = network.get_adapter_state_dict(_NAME)
    if {name: tensor.shape for name, tensor in tensors.items()} != {
        name: tensor.shape for name, tensor in expected.items()
    }:
        raise TrainingError(
            f"{folder / WEIGHTS}: is of another adapter",
            "Begin anew under another --name.",
        )
    set_peft_model_state_dict(network, tensors, adapter_name=_NAME)


def merge_adapter(model: Any, folder: Path) -> None:
    """Merge the adapter in a folder into a ``SentenceTransformer``: only the weights of the model change.

    Raises:
        AdapterError: it is no LoRA adapter, of a model of another shape, or its weights are not finite.
    """
    from peft import LoraConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    stated = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if stated.get("peft_type") != "LORA":
        raise AdapterError(f"{folder / CONFIG}: of type {stated.get('peft_type')!r}, and only LORA is known")
    try:
        adapted = PeftModel(model[0].auto_model, LoraConfig.from_pretrained(str(folder)), _NAME)
    except (ValueError, TypeError) as error:  # none of the layers is there, or a setting makes no sense
        raise AdapterError(f"{folder}: does not fit the model: {error}") from error
    found = load_file(folder / WEIGHTS)
    # Whether embeddings were resized PEFT would ask the hub, for a model of the name in the configuration.
    expected = get_peft_model_state_dict(adapted, adapter_name=_NAME, save_embedding_layers=False)
    if unlike := _unlike(found, expected):
        raise AdapterError(
            f"{folder / WEIGHTS}: is of another model, or of another dimension: {unlike}",
            "An adapter fits only the model that it was trained on.",
        )
    set_peft_model_state_dict(adapted, found, adapter_name=_NAME)
    try:
        adapted.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise AdapterError(f"{folder / WEIGHTS}: {error}") from error


def _unlike(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """The first tensor that is not in both, or has another shape; empty where all are alike."""
    for name in sorted({*found, *expected}):
        shapes = [tuple(tensors[name].shape) if name in tensors else None for tensors in (found, expected)]
        if shapes[0] != shapes[1]:
            return f"{name} has the shape {shapes[0]}, not {shapes[1]}"
    return ""


def _layers(names: Iterable[str], wanted: str | tuple[str, ...]) -> list[str]:
    if wanted == "auto":
        return [name for name in names if not any(part in name for part in _NOT_ADAPTED)]
    return [name for name in names if any(f".{name}".endswith(f".{end}") for end in wanted)]


def _plain(value: Any) -> Any:
    """A value of a configuration as JSON: sets in order, enumerations by their value."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    return getattr(value, "value", value)
