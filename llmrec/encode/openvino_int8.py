"""OpenVINO models with weights in eight bits, made from float32 ones without calibration data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.runtime.folders import cached_folder
from llmrec.runtime.openvino import cpu_core, import_openvino

_RECIPE = "openvino int8 1"
"""Raised whenever the conversion below would write another model."""

_SMALLEST = 16
"""Side of the smallest matrix that is worth its scales."""


def int8_model(model: Path, cache: Path) -> Path:
    """The ``.xml`` of a model with int8 weights, written unless ``cache`` holds it whole.

    Matrices of linear layers and embeddings become int8 with a float32 scale for each row of the output or of
    the table (symmetric, round to nearest). The CPU plugin quantizes activations as they come, in groups,
    where the CPU has instructions for that (VNNI, AMX), and else restores the weights.

    Args:
        model: ``.xml`` of the float32 model, its weights beside it.
        cache: folder to keep the new one in.

    Raises:
        AssetError: the cache cannot be written.
    """

    def build(target: Path) -> None:
        read = cpu_core().read_model(model)
        quantize_weights(read)
        import_openvino().save_model(read, target / "model.xml", compress_to_fp16=False)

    return cached_folder(cache, _RECIPE, build) / "model.xml"


def quantize_weights(model: Any) -> int:
    """Replace the float32 matrices of an ``openvino.Model`` by int8 ones; returns how many there were."""
    from openvino import opset13 as ops

    count = 0
    for constant in model.get_ordered_ops():
        axis = _summed_axis(constant)
        if axis is None:
            continue
        consumers = list(constant.output(0).get_target_inputs())
        rounded, scales = _rounded(constant.data, axis)
        restored = ops.multiply(ops.convert(ops.constant(rounded), "f32"), ops.constant(scales))
        for consumer in consumers:
            consumer.replace_source_output(restored.output(0))
        count += 1
    return count


def _summed_axis(node: Any) -> int | None:
    """The axis that a scale is shared along, of a matrix that only multiplies or is looked up in, or None."""
    if node.get_type_name() != "Constant" or node.get_element_type().to_string() != "f32":
        return None
    shape = list(node.shape)
    if len(shape) != 2 or min(shape) < _SMALLEST:
        return None
    axes = {_axis_of(consumer) for consumer in node.output(0).get_target_inputs()}
    return axes.pop() if len(axes) == 1 else None


def _axis_of(consumer: Any) -> int | None:
    node, port = consumer.get_node(), consumer.get_index()
    if node.get_type_name() == "MatMul" and port == 1:
        return 1 if node.get_attributes()["transpose_b"] else 0
    if node.get_type_name() == "Gather" and port == 0:
        return 1
    return None


def _rounded(matrix: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    largest = np.abs(matrix).max(axis=axis, keepdims=True)
    scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(matrix / scales).astype(np.int8), scales
