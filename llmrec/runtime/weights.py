"""Weights in few bits, by bitsandbytes, and how many bytes weights take."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from llmrec.errors import MissingExtraError

FEW_BITS = ("int8", "nf4")
"""Eight bits (LLM.int8(), Dettmers et al., 2022) or four (NF4 of QLoRA, Dettmers et al., 2023)."""


def few_bits(precision: str, device: str, compute: Any = None) -> dict[str, Any]:
    """Options of transformers' ``from_pretrained`` that load linear layers in one of :data:`FEW_BITS`.

    Such weights stay on ``device``, ``cpu`` or ``cuda``. In four bits their scales are quantized once more.

    Args:
        precision: one of :data:`FEW_BITS`.
        device: where the model is loaded to.
        compute: dtype of all other weights, embeddings among them, and of what is computed; None: bfloat16.

    Raises:
        MissingExtraError: bitsandbytes or accelerate is not installed.
    """
    for package in ("accelerate", "bitsandbytes"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "quantize")
    import torch
    from transformers import BitsAndBytesConfig

    import_bitsandbytes()
    compute = compute or torch.bfloat16
    config = (
        BitsAndBytesConfig(load_in_8bit=True)
        if precision == "int8"
        else BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute,
        )
    )
    return {"dtype": compute, "device_map": {"": device}, "quantization_config": config}


def keep_trainable(model: Any) -> None:
    """Keep bitsandbytes from packing four-bit weights for inference.

    On a CPU with AVX-512 BF16 it packs them when they are first used without gradients, which a validation
    does. Layers whose sides are no multiples of its blocks fail then, and no gradient gets through others.
    """
    for part in model.modules():
        if hasattr(part, "support_avx512bf16_for_cpu"):
            part.support_avx512bf16_for_cpu = False


def weight_bytes(model: Any) -> int:
    """Bytes that the weights of a PyTorch model take, those that are used twice once."""
    # With the scales of few-bit weights, which are no parameters.
    kept = {tensor.data_ptr(): tensor.nbytes for tensor in model.state_dict().values()}
    return sum(kept.values())


def import_bitsandbytes() -> None:
    """Import it, where it is installed, without the package ``kernels``; call this before PEFT may import it.

    Where ``kernels`` is installed, bitsandbytes downloads compiled code from a hub on import and runs it.
    """
    if "bitsandbytes" in sys.modules or find_spec("bitsandbytes") is None:
        return
    import logging

    missing = object()
    before = sys.modules.get("kernels", missing)
    sys.modules["kernels"] = None  # type: ignore[assignment]
    # It warns that it goes without, and of every layer in eight bits that its input is cast.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        import bitsandbytes  # noqa: F401
    finally:
        if before is missing:
            del sys.modules["kernels"]
        else:
            sys.modules["kernels"] = before  # type: ignore[assignment]
