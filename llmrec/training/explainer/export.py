"""An adapter merged into the GGUF file of its base model, for llama.cpp."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import AdapterError, ConfigError
from llmrec.training.lora import CONFIG, WEIGHTS

_PREFIX = "base_model.model."
_HALVES = (".lora_A.weight", ".lora_B.weight")
_ARCHITECTURE = "llama"
"""The one whose names and order of rows are known here."""

Weights = NDArray[np.float32]


def check_exportable(gguf: Path, layers: Iterable[str] = ()) -> None:
    """Check that what is trained from a GGUF file can be written as one.

    Args:
        gguf: the file.
        layers: names in transformers of what is trained, such as ``model.layers.0.mlp.up_proj``.

    Raises:
        ConfigError: it is of an architecture that cannot, or a layer has no place in the file.
    """
    from gguf import GGUFReader

    reader = GGUFReader(gguf)
    architecture = _value(reader, "general.architecture")
    if architecture != _ARCHITECTURE:
        raise ConfigError(
            f"{gguf}: of the architecture {architecture!r}, and only {_ARCHITECTURE!r} can be fine-tuned",
            "Set models.explainer to a model such as smollm2-135m-instruct.",
        )
    stored = {tensor.name for tensor in reader.tensors}
    if lost := [layer for layer in layers if _place(reader, layer) not in stored]:
        raise ConfigError(
            f"{gguf}: the layer {lost[0]} has no place of its own there, so that it cannot be fine-tuned",
            "Name other layers as lora.target_modules.",
        )


def export(base: Path, adapter: Path, target: Path, weights: str, name: str) -> None:
    """Write a GGUF file with an adapter merged in.

    Layers that the adapter changes are written anew; all else, tokenizer and chat template with it, is
    copied as it is.

    Args:
        base: the GGUF file that the adapter's model was converted from.
        adapter: folder of the adapter.
        target: the file to write.
        weights: of the layers that change: ``q8_0`` (8.5 bits a weight) or ``f16``.
        name: of the model, for the file.

    Raises:
        AdapterError: the adapter is not of this model, or its weights are not finite.
        OSError: the disk is full, or the file cannot be written.
    """
    from gguf import (
        GGML_QUANT_SIZES,
        GGMLQuantizationType,
        GGUFReader,
        GGUFWriter,
        LlamaFileType,
        quants,
    )

    reader = GGUFReader(base)
    updates = _updates(reader, adapter)
    kind = GGMLQuantizationType[weights.upper()]
    stated = {
        "general.name": name,
        "general.file_type": int(LlamaFileType[f"MOSTLY_{weights.upper()}"]),
    }
    writer = GGUFWriter(target, _ARCHITECTURE)
    try:
        _copy_fields(reader, writer, stated)
        for tensor in reader.tensors:
            update = updates.pop(tensor.name, None)
            if update is None:
                writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
                continue
            merged = _merged(tensor, update, adapter)
            # Rows that are no multiple of a block cannot be quantized.
            fits = merged.shape[-1] % GGML_QUANT_SIZES[kind][0] == 0
            stored = kind if fits else GGMLQuantizationType.F16
            writer.add_tensor(tensor.name, quants.quantize(merged, stored), raw_dtype=stored)
        if updates:
            raise AdapterError(f"{adapter}: is of another model: {min(updates)} is not in {base}")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _merged(tensor: Any, update: Weights, adapter: Path) -> Weights:
    from gguf import quants

    before: Weights = quants.dequantize(tensor.data, tensor.tensor_type)
    if before.shape != update.shape:
        raise AdapterError(
            f"{adapter}: is of another model: {tensor.name} has the shape {before.shape}, not {update.shape}"
        )
    merged = before + update
    if not np.isfinite(merged).all():
        raise AdapterError(f"{adapter}: the weights of {tensor.name} are not finite")
    return merged


def _updates(reader: Any, adapter: Path) -> dict[str, Weights]:
    """What the adapter adds to each tensor, (rows, columns), by the tensor's name."""
    from safetensors.numpy import load_file

    config = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
    tensors = load_file(adapter / WEIGHTS)
    updates = {}
    for layer in sorted(name.removesuffix(_HALVES[0]) for name in tensors if name.endswith(_HALVES[0])):
        name = _place(reader, layer.removeprefix(_PREFIX))
        down, up = (tensors[f"{layer}{half}"].astype(np.float32) for half in _HALVES)
        update = (config["lora_alpha"] / config["r"]) * (up @ down)
        updates[name] = _as_stored(update, name, reader)
    return updates


def _place(reader: Any, layer: str) -> str:
    """The name of the tensor that holds a layer's weights; of a layer that GGUF has no name for, its own."""
    names = _names(int(_value(reader, f"{_ARCHITECTURE}.block_count")))
    return f"{names.get_name(layer) or layer}.weight"


@cache
def _names(blocks: int) -> Any:
    from gguf import MODEL_ARCH, get_tensor_name_map

    return get_tensor_name_map(MODEL_ARCH.LLAMA, blocks)


def _as_stored(update: Weights, name: str, reader: Any) -> Weights:
    """Rows in the order of GGUF, which turns neighbouring values of queries and keys by rotary position.

    transformers turns value i with value i + half of the head, so that the halves have to be interleaved; see
    ``LlamaModel.permute`` of llama.cpp's ``convert_hf_to_gguf.py``.
    """
    if not name.endswith((".attn_q.weight", ".attn_k.weight")):
        return update
    heads = _value(reader, f"{_ARCHITECTURE}.attention.head_count")
    if name.endswith(".attn_k.weight"):
        heads = _value(reader, f"{_ARCHITECTURE}.attention.head_count_kv", heads)
    rows, columns = update.shape
    halves = update.reshape(heads, 2, rows // heads // 2, columns)
    stored: Weights = np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))
    return stored


def _value(reader: Any, name: str, default: Any = None) -> Any:
    field = reader.get_field(name)
    return default if field is None else field.contents()


def _copy_fields(reader: Any, writer: Any, stated: Mapping[str, Any]) -> None:
    """All metadata but what the writer states itself; ``stated`` takes the place of what was there."""
    from gguf import GGUFValueType

    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, stated.get(field.name, field.contents()), kind, sub_type=inner)
