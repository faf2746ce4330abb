"""Vectors by sentence-transformers on PyTorch: for GPUs, and the reference for other engines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.encode.batches import Batch
from llmrec.encode.folder import ModelFolder
from llmrec.errors import AssetError
from llmrec.runtime.libraries import quiet
from llmrec.runtime.weights import FEW_BITS, few_bits, import_bitsandbytes, weight_bytes


class TorchEngine:
    """Runs a model folder on PyTorch.

    Args:
        folder: the model.
        precision: ``bfloat16``, ``int8`` or ``nf4``; anything else is float32.

    Raises:
        AssetError: the weights cannot be loaded, or not be computed with in that precision.
        MissingExtraError: they need bitsandbytes and that is not installed.
    """

    def __init__(self, folder: ModelFolder, precision: str) -> None:
        import torch

        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if precision in ("bfloat16", *FEW_BITS) else torch.float32
        self._model = load_sentence_transformer(folder, self._device, dtype, precision)
        self.weight_bytes = weight_bytes(self._model)
        one = np.ones((1, 1), dtype=np.int64)
        try:
            self.dimension = self._forward(one * folder.blank_token, one).shape[1]
        except RuntimeError as error:  # of bitsandbytes, which takes widths of whole blocks only on some CPUs
            raise AssetError(f"{folder.name}: cannot be computed in {precision}: {error}") from error

    def run(self, batches: Iterable[Batch], out: NDArray[np.float32]) -> None:
        """Write the vector of each sequence to its row of ``out``."""
        for batch in batches:
            out[batch.rows] = self._forward(batch.input_ids, batch.attention_mask)

    def _forward(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        import torch

        arrays = {"input_ids": input_ids, "attention_mask": attention_mask}
        with torch.inference_mode():
            features = {name: torch.from_numpy(array).to(self._device) for name, array in arrays.items()}
            vectors: NDArray[np.float32] = self._model(features)["sentence_embedding"].float().cpu().numpy()
        return vectors


def load_sentence_transformer(folder: ModelFolder, device: str, dtype: Any, precision: str = "") -> Any:
    """The folder as a ``SentenceTransformer`` in evaluation mode.

    Only safetensors are read, nothing is downloaded, and no code of the folder runs.

    Args:
        folder: the model.
        device: ``cpu`` or ``cuda``.
        dtype: of weights; with few bits of those that stay whole, and of what is computed.
        precision: ``int8`` or ``nf4`` keeps the linear layers in few bits; anything else does not.

    Raises:
        AssetError: the weights cannot be loaded.
        MissingExtraError: bitsandbytes is needed and not installed.
    """
    import_bitsandbytes()  # sentence-transformers imports PEFT, and that bitsandbytes
    from sentence_transformers import SentenceTransformer

    packed = few_bits(precision, device, dtype) if precision in FEW_BITS else {}
    try:
        with quiet():
            model = SentenceTransformer(
                str(folder.path),
                device=None if packed else device,  # weights in few bits are loaded to where they stay
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": dtype, **packed},
            )
    except Exception as error:  # the formats below raise errors of their own, none of them documented
        raise AssetError(f"{folder.name}: the model cannot be loaded: {error}") from error
    if folder.pooling:
        # Which pooling is the default changed between releases of sentence-transformers.
        model[1] = type(model[1])(model[0].auto_model.config.hidden_size, pooling_mode=folder.pooling)
    return model.eval()
