"""Captions by transformers on PyTorch: for GPUs and beam search, and the reference for other engines."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import AssetError, ConfigError
from llmrec.modality.blip.captioner import Answer, Decoding
from llmrec.modality.blip.folder import BlipFolder
from llmrec.modality.blip.pixels import blank_pixels
from llmrec.runtime.libraries import quiet
from llmrec.runtime.weights import few_bits


class TorchEngine:
    """Runs a BLIP folder on PyTorch, on a GPU if there is one.

    Args:
        folder: the model.
        decoding: how tokens are found.
        precision: see :class:`~llmrec.config.CaptionSettings`.

    Raises:
        AssetError: the weights cannot be loaded.
        ConfigError: ``precision`` needs a GPU and there is none.
        MissingExtraError: it needs bitsandbytes and that is not installed.
    """

    def __init__(self, folder: BlipFolder, decoding: Decoding, precision: str) -> None:
        import torch

        self.workers = 2 if torch.cuda.is_available() else 1  # the second prepares pictures meanwhile
        self._lock = threading.Lock()
        self._folder = folder
        self._decoding = decoding
        self._model = load_blip(folder, *_placed(precision))
        with torch.inference_mode():
            self._blank = self._encode(blank_pixels(folder.pixels)[None])

    def describe(self, pixels: NDArray[np.float32]) -> list[Answer]:
        """An answer for each picture of ``(n, 3, height, width)``."""
        import torch

        with self._lock, torch.inference_mode():
            patches = self._encode(pixels)
            ids = generate(self._model, self._folder, self._decoding, patches)
            start = len(self._decoding.prefix)
            # Everything after the first end token is padding; the longest caption may lack one.
            ended = ids[:, start:] == self._folder.end_token
            kept = ended.cumsum(1) - ended.long() == 0
            seen, blank = (self._score(ids, states) for states in (patches, self._blank))
        rows = zip(ids[:, start:], seen, blank, kept, strict=True)
        return [Answer(*(tuple(each[keep].tolist()) for each in row)) for *row, keep in rows]

    def _encode(self, pixels: NDArray[np.float32]) -> Any:
        import torch

        vision = self._model.vision_model
        values = torch.from_numpy(pixels).to(self._model.device, vision.embeddings.class_embedding.dtype)
        return vision(pixel_values=values).last_hidden_state

    def _score(self, ids: Any, patches: Any) -> Any:
        """Log-probability of each token after the prefix, given the patches of one or n pictures."""
        logits = self._model.text_decoder(input_ids=ids[:, :-1], encoder_hidden_states=patches).logits
        new = logits[:, len(self._decoding.prefix) - 1 :].float().log_softmax(-1)
        return new.gather(-1, ids[:, len(self._decoding.prefix) :, None])[..., 0]


def generate(model: Any, folder: BlipFolder, decoding: Decoding, patches: Any) -> Any:
    """Prefix and caption of each picture: ``(n, tokens)``, padded on the right.

    Args:
        model: a ``BlipForConditionalGeneration``.
        folder: its files.
        decoding: how tokens are found.
        patches: what the vision tower makes of the pictures, (n, patches, width).
    """
    import torch

    prefix = torch.tensor([decoding.prefix] * len(patches), device=patches.device)
    with quiet():
        return model.text_decoder.generate(
            input_ids=prefix,
            attention_mask=torch.ones_like(prefix),
            encoder_hidden_states=patches,
            encoder_attention_mask=torch.ones(patches.shape[:2], dtype=torch.long, device=patches.device),
            eos_token_id=folder.end_token,
            pad_token_id=folder.pad_token,
            do_sample=False,
            num_beams=decoding.beams,
            min_new_tokens=decoding.min_new_tokens or None,
            max_new_tokens=decoding.max_new_tokens,
        )


def load_blip(folder: BlipFolder, device: str, precision: str) -> Any:
    """The folder as a ``BlipForConditionalGeneration`` in evaluation mode.

    Only safetensors are read, nothing is downloaded, and no code of the folder runs.

    Args:
        device: ``cpu`` or ``cuda``.
        precision: ``float32``, ``bfloat16``, ``float16`` or ``nf4``.

    Raises:
        AssetError: the weights cannot be loaded, or lack a part of the model.
        MissingExtraError: they need bitsandbytes and that is not installed.
    """
    import torch
    from transformers import BlipForConditionalGeneration

    options: dict[str, Any] = {"dtype": getattr(torch, "bfloat16" if precision == "nf4" else precision)}
    if precision == "nf4":
        options |= few_bits(precision, device)
    try:
        with quiet():
            model, report = BlipForConditionalGeneration.from_pretrained(
                folder.path, local_files_only=True, use_safetensors=True, output_loading_info=True, **options
            )
    except Exception as error:  # the formats below raise errors of their own, none of them documented
        raise AssetError(f"{folder.name}: the model cannot be loaded: {error}") from error
    if missing := sorted(report["missing_keys"]):
        raise AssetError(
            f"{folder.path}: the weights lack {len(missing)} parts of the model, {missing[0]} first",
            "Take a complete BLIP captioning checkpoint.",
        )
    return (model if precision == "nf4" else model.to(device)).eval()  # four-bit weights cannot be moved


def _placed(precision: str) -> tuple[str, str]:
    """Device and precision to compute with.

    Raises:
        ConfigError: the precision needs a GPU.
    """
    import torch

    if torch.cuda.is_available():
        return "cuda", "float16" if precision == "auto" else precision
    if precision in ("float16", "nf4"):
        raise ConfigError(
            f"caption.precision is {precision}, which needs an NVIDIA GPU, and PyTorch finds none",
            'Set it to "auto".',
        )
    return "cpu", "float32" if precision == "auto" else precision
