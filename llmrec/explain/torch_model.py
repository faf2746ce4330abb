"""An explainer's weights through transformers, in precisions that a GGUF file does not come in."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import AssetError
from llmrec.runtime.devices import has_gpu
from llmrec.runtime.libraries import quiet
from llmrec.runtime.openvino import cpu_core, cpu_precision
from llmrec.runtime.weights import FEW_BITS, few_bits, weight_bytes


class ChatTokenizer:
    """The tokenizer of a chat model's folder.

    Args:
        folder: a transformers folder with a chat template.

    Raises:
        AssetError: it cannot be loaded, or has no chat template.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        try:
            with quiet():
                self._tokenizer = AutoTokenizer.from_pretrained(
                    str(folder), local_files_only=True, trust_remote_code=False
                )
        except Exception as error:  # the library documents none
            raise AssetError(f"{folder}: the tokenizer cannot be loaded: {error}") from error
        if not self._tokenizer.chat_template:
            raise AssetError(f"{folder}: has no chat template", "An explainer is a chat model.")

    @property
    def end(self) -> int | None:
        """Id of the token that ends an answer; None where the model has none."""
        end: int | None = self._tokenizer.eos_token_id
        return end

    def text(self, ids: Sequence[int]) -> str:
        """What ids say, without special tokens."""
        said: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return said

    def tokens(self, text: str) -> list[int]:
        """Ids of a text, without special ones."""
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def prompt(self, system: str, user: str) -> list[int]:
        """Ids of the two messages, up to where the answer begins."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        return self.tokens(
            self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        )


class TorchModel:
    """A causal LM on PyTorch, on a GPU if there is one; a :class:`~llmrec.explain.weighing.Weighed`.

    Args:
        folder: transformers folder with safetensors.
        tokenizer: of the model.
        precision: ``float32``, ``bfloat16``, ``int8`` or ``nf4``.

    Raises:
        AssetError: the weights cannot be loaded, or not be computed with in that precision.
        ConfigError: the CPU does not compute in bfloat16.
        MissingExtraError: the precision needs bitsandbytes and that is not installed.
    """

    def __init__(self, folder: Path, tokenizer: ChatTokenizer, precision: str) -> None:
        import torch

        device = "cuda" if has_gpu() else "cpu"
        if precision == "bfloat16" and device == "cpu":
            cpu_precision(cpu_core(), precision, "the precision of the explainer")
        dtype = torch.bfloat16 if precision in ("bfloat16", *FEW_BITS) else torch.float32
        model = load_causal(folder, device, dtype, precision)
        self.weight_bytes = weight_bytes(model)
        self._model = model
        self._tokenizer = tokenizer
        try:
            self.log_probabilities("", "", [0])
        except RuntimeError as error:  # of bitsandbytes, which takes widths of whole blocks only on some CPUs
            raise AssetError(f"{folder}: cannot be computed in {precision}: {error}") from error

    def log_probabilities(self, system: str, user: str, tokens: Sequence[int]) -> NDArray[np.float64]:
        """See :class:`~llmrec.explain.weighing.Weighed`."""
        import torch

        prompt = self._tokenizer.prompt(system, user)
        ids = torch.tensor([[*prompt, *tokens]], device=self._model.device)
        with torch.inference_mode():
            # The last token is not followed by one that is asked about.
            logits = self._model(ids[:, :-1], logits_to_keep=len(tokens)).logits[0].float()
            found = logits.log_softmax(-1).gather(1, ids[0, len(prompt) :, None])
        values: NDArray[np.float64] = found[:, 0].double().cpu().numpy()
        return values

    def pace(self, system: str, user: str, count: int) -> float:
        """See :class:`~llmrec.explain.weighing.Weighed`."""
        import torch

        ids = torch.tensor([self._tokenizer.prompt(system, user)], device=self._model.device)
        with torch.inference_mode():
            answer = self._model(ids, use_cache=True, logits_to_keep=1)
            began = time.perf_counter()
            for _ in range(count):
                # `item` waits for a GPU, as whoever reads the token would.
                token = torch.tensor([[answer.logits[0, -1].argmax().item()]], device=ids.device)
                answer = self._model(token, past_key_values=answer.past_key_values, use_cache=True)
            return count / (time.perf_counter() - began)


def load_causal(folder: Path, device: str, dtype: Any, precision: str = "") -> Any:
    """A transformers folder as a causal language model in evaluation mode.

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
    from transformers import AutoModelForCausalLM

    packed = few_bits(precision, device, dtype) if precision in FEW_BITS else {}
    try:
        with quiet():
            model = AutoModelForCausalLM.from_pretrained(
                str(folder),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                **{"dtype": dtype, **packed},
            )
    except Exception as error:  # the formats below raise errors of their own, none of them documented
        raise AssetError(f"{folder}: the model cannot be loaded: {error}") from error
    return model.eval() if packed else model.to(device).eval()
