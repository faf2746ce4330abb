"""Weights in four bits, by bitsandbytes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from llmrec.errors import MissingExtraError


def four_bits(device: str, compute: Any) -> dict[str, Any]:
    """Options of ``from_pretrained`` that load weights as NF4, their scales quantized once more.

    Weights in four bits stay on ``device``, ``cpu`` or ``cuda``.

    Args:
        compute: dtype that they are expanded to for each multiplication.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise MissingExtraError("bitsandbytes", "finetune")
    from transformers import BitsAndBytesConfig

    return {
        "device_map": {"": device},
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute,
        ),
    }


def keep_trainable(model: Any) -> None:
    """Keep bitsandbytes from packing four-bit weights for inference.

    On a CPU with AVX-512 BF16 it packs them when they are first used without gradients, which a validation
    does. Layers whose sides are no multiples of its blocks fail then, and no gradient gets through others.
    """
    for part in model.modules():
        if hasattr(part, "support_avx512bf16_for_cpu"):
            part.support_avx512bf16_for_cpu = False
