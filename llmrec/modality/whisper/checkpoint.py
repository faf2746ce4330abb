"""Weights for openai-whisper: from its own ``.pt`` checkpoints, or from CTranslate2's ``model.bin``."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import AssetError, UnsafeFileError
from llmrec.modality.whisper.weights import WhisperWeights
from llmrec.progress import Progress
from llmrec.runtime.folders import cached_folder

_RECIPE = "openai-whisper 1"
"""Raised whenever the conversion below would write another model."""
_LAYERS = ((("attn", "attn_ln"), "self_attention"), (("cross_attn", "cross_attn_ln"), "attention"))


def read_checkpoint(path: Path) -> Any:
    """The ``whisper.model.Whisper`` of a ``.pt`` file, which holds tensors and numbers only.

    Raises:
        UnsafeFileError: it holds other Python objects; none of them was made.
        AssetError: it is not a checkpoint of openai-whisper.
    """
    import torch

    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeFileError(
            f"{path}: holds more than tensors, which could run code", "Take the checkpoint from its maker."
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise AssetError(f"{path}: not a checkpoint: {error}") from error
    try:
        return _model(checkpoint["dims"], checkpoint["model_state_dict"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise AssetError(f"{path}: not a checkpoint of openai-whisper: {error}") from error


def converted_model(folder: Path, cache: Path, progress: Progress) -> Any:
    """The ``whisper.model.Whisper`` with the weights of a CTranslate2 folder.

    Args:
        folder: holds ``model.bin``.
        cache: where the converted weights are kept, in float32 as safetensors.
        progress: shows the conversion.

    Raises:
        UnsafeFileError: ``model.bin`` is malformed or not of a Whisper model.
        AssetError: the cache cannot be written.
    """
    from safetensors.numpy import load_file, save_file

    def build(target: Path) -> None:
        with progress.task("Converting Whisper for openai-whisper", total=1, unit="models") as task:
            weights = WhisperWeights(folder / "model.bin")
            save_file(dict(_tensors(weights)), target / "model.safetensors")
            (target / "dims.json").write_text(json.dumps(_dimensions(weights)), encoding="utf-8")
            task.advance()

    made = cached_folder(cache, _RECIPE, build)
    dims = json.loads((made / "dims.json").read_text(encoding="utf-8"))
    return _model(dims, _to_torch(load_file(made / "model.safetensors")))


def _model(dims: dict[str, int], state: dict[str, Any]) -> Any:
    from whisper.model import ModelDimensions, Whisper

    model = Whisper(ModelDimensions(**dims))
    model.load_state_dict(state)
    return model.eval()


def _to_torch(tensors: dict[str, NDArray[np.float32]]) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(values) for name, values in tensors.items()}


def _dimensions(weights: WhisperWeights) -> dict[str, int]:
    shapes = {name: variable.shape for name, variable in weights.variables.items()}
    n_audio_ctx, n_audio_state = shapes["encoder/position_encodings/encodings"]
    n_text_ctx, n_text_state = shapes["decoder/position_encodings/encodings"]
    return {
        "n_mels": shapes["encoder/conv1/weight"][1],
        "n_audio_ctx": n_audio_ctx,
        "n_audio_state": n_audio_state,
        "n_audio_head": int(weights.read("encoder/num_heads")),
        "n_audio_layer": weights.count("encoder/layer_"),
        "n_vocab": shapes["decoder/embeddings/weight"][0],
        "n_text_ctx": n_text_ctx,
        "n_text_state": n_text_state,
        "n_text_head": int(weights.read("decoder/num_heads")),
        "n_text_layer": weights.count("decoder/layer_"),
    }


def _tensors(weights: WhisperWeights) -> Iterator[tuple[str, NDArray[np.float32]]]:
    read = weights.read
    for name in ("conv1", "conv2"):
        yield from _linear(f"encoder.{name}", read(f"encoder/{name}/weight"), read(f"encoder/{name}/bias"))
    yield "decoder.token_embedding.weight", read("decoder/embeddings/weight")
    for part, last in (("encoder", "ln_post"), ("decoder", "ln")):
        yield f"{part}.positional_embedding", read(f"{part}/position_encodings/encodings")
        yield from _norm(weights, f"{part}.{last}", f"{part}/layer_norm")
        for place in range(weights.count(f"{part}/layer_")):
            yield from _block(weights, f"{part}.blocks.{place}", f"{part}/layer_{place}", part == "decoder")


def _block(
    weights: WhisperWeights, name: str, source: str, decoder: bool
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for (attention, norm), origin in _LAYERS[: 1 + decoder]:
        yield from _norm(weights, f"{name}.{norm}", f"{source}/{origin}/layer_norm")
        yield from _attention(weights, f"{name}.{attention}", f"{source}/{origin}")
    yield from _norm(weights, f"{name}.mlp_ln", f"{source}/ffn/layer_norm")
    for target, origin in (("mlp.0", "linear_0"), ("mlp.2", "linear_1")):
        weight, bias = (weights.read(f"{source}/ffn/{origin}/{kind}") for kind in ("weight", "bias"))
        yield from _linear(f"{name}.{target}", weight, bias)


def _attention(weights: WhisperWeights, name: str, source: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """CTranslate2 stacks what is applied to one input: query, key, value; or key and value alone."""
    count = weights.count(f"{source}/linear_")
    weight, bias = (
        np.concatenate([weights.read(f"{source}/linear_{place}/{kind}") for place in range(count)])
        for kind in ("weight", "bias")
    )
    parts = ("query", "key", "value", "out")
    for part, rows, column in zip(parts, np.split(weight, 4), np.split(bias, 4), strict=True):
        yield from _linear(f"{name}.{part}", rows, None if part == "key" else column)


def _linear(
    name: str, weight: NDArray[np.float32], bias: NDArray[np.float32] | None
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    yield f"{name}.weight", np.ascontiguousarray(weight)
    if bias is not None:
        yield f"{name}.bias", np.ascontiguousarray(bias)


def _norm(weights: WhisperWeights, name: str, source: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    yield from _linear(name, weights.read(f"{source}/gamma"), weights.read(f"{source}/beta"))
