"""What an explainer's weights are worth: how likely they find a text, and how fast they write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llmrec.explain.generator import GenerationError
from llmrec.explain.llama import LlamaCpp
from llmrec.explain.torch_model import ChatTokenizer

_CERTAIN = 1000.0
"""Added to the logit of a token, so that it is the one that is written."""


class Weighed(Protocol):
    """A language model in one precision."""

    @property
    def weight_bytes(self) -> int:
        """Bytes of its weights."""

    def log_probabilities(self, system: str, user: str, tokens: Sequence[int]) -> NDArray[np.float64]:
        """Of each of ``tokens``, after those before it, as the answer to ``user``: nats, (tokens,).

        NaN where the engine does not tell.

        Raises:
            GenerationError: the model fails.
        """

    def pace(self, system: str, user: str, count: int) -> float:
        """Tokens a second at which it writes an answer of ``count``, after it has read what is asked.

        Raises:
            GenerationError: the model fails.
        """


class WeighedLlama(LlamaCpp):
    """A GGUF file in llama.cpp; a :class:`Weighed`, and a generator too. Not for several threads.

    Args:
        path: the file.
        tokenizer: of the model.

    Raises:
        ConfigError: llama.cpp cannot load it.
    """

    def __init__(self, path: Path, tokenizer: ChatTokenizer) -> None:
        super().__init__(path, path.name)
        self.weight_bytes = path.stat().st_size
        self._tokenizer = tokenizer

    def log_probabilities(self, system: str, user: str, tokens: Sequence[int]) -> NDArray[np.float64]:
        """See :class:`Weighed`. It does not tell that of a token that ends inside a character."""
        prompt = self._tokenizer.prompt(system, user)
        return np.array([self._next([*prompt, *tokens[:at]], token) for at, token in enumerate(tokens)])

    def pace(self, system: str, user: str, count: int) -> float:
        """See :class:`Weighed`."""
        answer = self._complete(self._tokenizer.prompt(system, user), n_predict=count, ignore_eos=True)
        return float(answer["timings"]["predicted_per_second"])

    def _next(self, prompt: list[int], token: int) -> float:
        """Log-probability of the token that follows.

        llama.cpp gives those of tokens that it writes, so it is made to write this one; what it gives is from
        before that. (A grammar of all the tokens would do so at once, but none gets past half a character.)
        """
        options = {"n_predict": 1, "logit_bias": [[token, _CERTAIN]], "n_probs": 1}
        (choice,) = self._complete(prompt, **options)["choices"]
        if not choice["logprobs"]:
            return np.nan
        (entry,) = choice["logprobs"]["content"]
        if entry["id"] != token:
            raise GenerationError(f"llama.cpp: wrote token {entry['id']} where it was to weigh {token}")
        return float(entry["logprob"])

    def _complete(self, prompt: list[int], **options: Any) -> dict[str, Any]:
        answers: list[dict[str, Any]] = []
        request = {"prompt": prompt, "temperature": 0, "cache_prompt": True, "stream": False} | options
        self._server.handle_completions(request, answers.append)
        if not answers or "error" in answers[-1]:
            raise GenerationError(f"llama.cpp: {answers[-1]['error'] if answers else 'no answer'}")
        return answers[-1]
