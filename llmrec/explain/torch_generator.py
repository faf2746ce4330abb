"""A chat model in a transformers folder as generator: on a GPU in four bits, with answers in batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmrec.config import ExplainSettings
from llmrec.errors import AssetError
from llmrec.explain.generator import GenerationError, Question, Told
from llmrec.explain.torch_model import ChatTokenizer, load_causal
from llmrec.runtime.devices import has_gpu
from llmrec.runtime.libraries import quiet
from llmrec.runtime.openvino import cpu_core, cpu_precision
from llmrec.runtime.weights import FEW_BITS

_UNSTATED_LENGTH = 2048


def load_torch(folder: Path, fingerprint: str, settings: ExplainSettings) -> TorchGenerator:
    """The generator of a folder, in the precision that the settings name, on a GPU if there is one.

    Args:
        folder: a transformers folder with safetensors and a chat template.
        fingerprint: names the weights.
        settings: ``precision`` and ``batch_size``.

    Raises:
        UnsafeFileError: a file could run code, or is not what it should be.
        AssetError: the model or its tokenizer cannot be loaded.
        ConfigError: the CPU does not compute in bfloat16.
        MissingExtraError: the precision needs bitsandbytes and that is not installed.
    """
    import torch

    from llmrec.assets.safety import check_model_folder

    check_model_folder(folder)
    device = "cuda" if has_gpu() else "cpu"
    precision = _precision(settings.precision, device)
    dtype = torch.bfloat16 if precision in ("bfloat16", *FEW_BITS) else torch.float32
    tokenizer = ChatTokenizer(folder)
    model = load_causal(folder, device, dtype, precision)
    return TorchGenerator(model, tokenizer, f"{fingerprint}:{precision}", settings.batch_size)


def _precision(asked: str, device: str) -> str:
    if device == "cuda":
        return "nf4" if asked == "auto" else asked
    if asked in ("auto", "bfloat16"):
        found = cpu_precision(cpu_core(), asked, "[explain] precision")
        return "bfloat16" if found == "bf16" else "float32"
    return asked


class TorchGenerator:
    """Generates greedily, a padded batch of answers at a time; safe to call from many threads.

    There is no grammar: what such a model writes, it writes in its own words.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        tokenizer: of the model.
        fingerprint: names the weights and their precision.
        batch_size: answers that are written at once.

    Raises:
        AssetError: the model has no token that ends an answer.
    """

    def __init__(self, model: Any, tokenizer: ChatTokenizer, fingerprint: str, batch_size: int = 8) -> None:
        self.fingerprint, self.batch_size = fingerprint, batch_size
        self._model, self._tokenizer = model, tokenizer
        self._ends = _ends(model, tokenizer)
        if not self._ends:
            raise AssetError("the explainer's tokenizer has no token that ends an answer")
        self._length = int(getattr(model.config, "max_position_embeddings", None) or _UNSTATED_LENGTH)
        self._lock = threading.Lock()

    def generate(
        self, system: str, user: str, *, max_tokens: int, timeout: float, grammar: str | None = None
    ) -> str:
        """See :class:`llmrec.explain.generator.Generator`; the grammar is ignored."""
        (answer,) = self.generate_all([Question(system, user, max_tokens)], timeout=timeout)
        if isinstance(answer, GenerationError):
            raise answer
        return answer

    def generate_all(
        self, questions: Sequence[Question], *, timeout: float, told: Told | None = None
    ) -> list[str | GenerationError]:
        """See :class:`llmrec.explain.generator.ManyAtOnce`."""
        until = time.monotonic() + timeout
        if not self._lock.acquire(timeout=timeout):
            return [
                GenerationError(f"no answer within {timeout:.3g} s: the model is busy") for _ in questions
            ]
        try:
            answers: list[str | GenerationError] = []
            for start in range(0, len(questions), self.batch_size):
                batch = questions[start : start + self.batch_size]
                answers += self._batch(batch, until, timeout, told if len(questions) == 1 else None)
            return answers
        finally:
            self._lock.release()

    def _batch(
        self, questions: Sequence[Question], until: float, timeout: float, told: Told | None
    ) -> list[str | GenerationError]:
        prompts = [self._tokenizer.prompt(question.system, question.user) for question in questions]
        answers: dict[int, str | GenerationError] = {}
        fitting = []
        for place, (question, prompt) in enumerate(zip(questions, prompts, strict=True)):
            if len(prompt) + question.max_tokens <= self._length:
                fitting.append(place)
                continue
            answers[place] = GenerationError(
                f"{len(prompt)} tokens of prompt and {question.max_tokens} of answer exceed the "
                f"{self._length} of the model"
            )
        if fitting:
            longest = [questions[place].max_tokens for place in fitting]
            try:
                written = self._write([prompts[place] for place in fitting], longest, until, told)
            except RuntimeError as error:  # of PyTorch, such as memory of the GPU that is used up
                reason = str(error).partition("\n")[0]
                hint = "[explain] batch_size, where it is higher than 1, could be lower."
                written = [GenerationError(f"PyTorch: {reason}", hint) for _ in fitting]
            late = GenerationError(f"no answer within {timeout:.3g} s")
            answers |= {
                place: late if answer is None else answer
                for place, answer in zip(fitting, written, strict=True)
            }
        return [answers[place] for place in range(len(questions))]

    def _write(
        self, prompts: Sequence[list[int]], longest: Sequence[int], until: float, told: Told | None
    ) -> list[str | GenerationError | None]:
        """The answers to prompts; None for one that was not done in time."""
        import torch
        from transformers import GenerationConfig, StoppingCriteriaList

        width = max(map(len, prompts))
        filler = self._ends[0]
        # Padded on the left, so that all answers begin at the same place.
        ids = torch.tensor([[filler] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        config = GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=max(longest),
            eos_token_id=self._ends,
            pad_token_id=filler,
        )
        with torch.inference_mode(), quiet():
            written = self._model.generate(
                input_ids=ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                generation_config=config,
                stopping_criteria=StoppingCriteriaList([_Watch(width, until, self._tokenizer, told)]),
            )
        answers: list[str | GenerationError | None] = []
        for row, limit in zip(written[:, width:].tolist(), longest, strict=True):
            end = next((at for at, token in enumerate(row) if token in self._ends), None)
            done = end is not None or len(row) >= limit
            answers.append(
                self._tokenizer.text(row[: limit if end is None else end]).strip() if done else None
            )
        return answers


class _Watch:
    """Ends all answers of a batch when their time is over, and tells what is written of the only one."""

    def __init__(self, width: int, until: float, tokenizer: ChatTokenizer, told: Told | None) -> None:
        self.width, self.until, self.tokenizer, self.told = width, until, tokenizer, told

    def __call__(self, ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        if self.told is not None:
            self.told(self.tokenizer.text(ids[0, self.width :].tolist()).strip())
        late = time.monotonic() > self.until
        return torch.full((len(ids),), late, dtype=torch.bool, device=ids.device)


def _ends(model: Any, tokenizer: ChatTokenizer) -> list[int]:
    """Ids of the tokens that end an answer: chat models often have one beside that of a text."""
    stated = getattr(model.generation_config, "eos_token_id", None)
    listed = stated if isinstance(stated, list) else [stated]
    return [token for token in dict.fromkeys([tokenizer.end, *listed]) if token is not None]
