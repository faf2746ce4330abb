"""Weights in eight bits: 32 values that lie side by side share a scale, as in GGUF's Q8_0.

A tensor becomes two: ``NAME``, int8, flat and filled up with zeros to whole blocks, and ``NAME.scale``,
float16, one a block. Its shape is kept in the metadata of the file. Vectors, and what is small, stay float32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import AssetError

SUFFIX = ".int8.safetensors"
"""What the name of such a file ends in."""
_BLOCK = 32
_SMALL = 4096
_SCALE, _SHAPES = ".scale", "shapes"

Weights = Mapping[str, NDArray[np.float32]]


def pack(weights: Weights) -> bytes:
    """The content of a file with these weights in eight bits: about 1.06 bytes a value.

    Raises:
        AssetError: a weight is not finite, or beyond what float16 scales reach.
    """
    from safetensors.numpy import save

    tensors: dict[str, NDArray[np.generic]] = {}
    shapes: dict[str, list[int]] = {}
    for name, values in weights.items():
        values = np.asarray(values, np.float32)
        if not np.isfinite(values).all():
            raise AssetError(f"{name}: its weights are not finite")
        if values.ndim < 2 or values.size < _SMALL:
            tensors[name] = np.ascontiguousarray(values)
            continue
        shapes[name] = [*values.shape]
        tensors[name], tensors[name + _SCALE] = _quantized(name, values)
    content: bytes = save(tensors, metadata={_SHAPES: json.dumps(shapes, sort_keys=True)})
    return content


def unpack(file: Path) -> bytes:
    """The content of a safetensors file with the weights of such a file in float32.

    The same bytes on every machine: a product of an integer and a float16 is exact in float32.

    Raises:
        AssetError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import save

    try:
        with safe_open(file, "numpy") as opened:
            shapes = json.loads(opened.metadata()[_SHAPES])
            stored = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  not a dict
        weights = {
            name: _restored(values, stored[name + _SCALE], shapes[name]) if name in shapes else values
            for name, values in stored.items()
            if not (name.endswith(_SCALE) and name.removesuffix(_SCALE) in shapes)
        }
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise AssetError(f"{file}: cannot be read: {error}", "Install llmrec again.") from error
    content: bytes = save(weights, metadata={"format": "pt"})
    return content


def _quantized(name: str, values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    flat = values.ravel()
    blocks = np.pad(flat, (0, -len(flat) % _BLOCK)).reshape(-1, _BLOCK)
    with np.errstate(over="ignore"):  # told below
        scales = (np.abs(blocks).max(1) / 127).astype(np.float16)
    if not np.isfinite(scales).all():
        raise AssetError(f"{name}: weights beyond {127 * float(np.finfo(np.float16).max):.3g}")
    divisors = np.where(scales > 0, scales, 1).astype(np.float32)[:, None]
    integers = np.clip(np.rint(blocks / divisors), -127, 127).astype(np.int8)
    return integers.ravel(), scales


def _restored(
    integers: NDArray[np.int8], scales: NDArray[np.float16], shape: list[int]
) -> NDArray[np.float32]:
    blocks = integers.reshape(-1, _BLOCK).astype(np.float32) * scales.astype(np.float32)[:, None]
    size = int(np.prod(shape))
    return np.ascontiguousarray(blocks.ravel()[:size].reshape(shape))
