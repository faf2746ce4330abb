"""A GGUF model in this process, through llama.cpp (the ``xllamacpp`` wheel)."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmrec.errors import ConfigError
from llmrec.explain.generator import GenerationError, Question, Told
from llmrec.runtime.devices import cores

CONTEXT = 2048
_BATCH = 256
_BYTES_PER_THREAD = 200_000_000


class LlamaCpp:
    """Generates deterministically, one answer at a time; safe to call from many threads.

    The temperature is 0; what is asked again is sampled with a seed of its own.

    Args:
        path: a GGUF file with a chat template.
        fingerprint: names the weights.

    Raises:
        ConfigError: llama.cpp cannot load the file.
    """

    batch_size = 1

    def __init__(self, path: Path, fingerprint: str) -> None:
        from xllamacpp import CommonParams, Server

        self.fingerprint = fingerprint
        # llama.cpp's server always listens. A Unix socket in a private folder keeps it off the network.
        folder = tempfile.mkdtemp(prefix="llmrec-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        params = CommonParams()
        params.hostnames = [str(Path(folder) / "llama.sock")]
        params.api_keys = [secrets.token_hex()]
        params.ui = False
        params.verbosity = -1
        params.model.path = str(path)
        params.n_ctx = CONTEXT
        params.n_batch = params.n_ubatch = _BATCH
        params.n_parallel = 1
        available = cores()
        # Threads spin while they wait for each other, many times a token. Beside other work on two cores an
        # answer of a 100 MB model took 13 s with two threads and 2.6 s with one; alone, two gain little.
        params.cpuparams.n_threads = min(available, 1 + path.stat().st_size // _BYTES_PER_THREAD)
        params.cpuparams_batch.n_threads = available
        try:
            self._server = Server(params)
        except RuntimeError as error:
            raise ConfigError(
                f"{path}: llama.cpp cannot load it: {error}",
                "Set models.explainer to a GGUF file of a chat model.",
            ) from error
        self._lock = threading.Lock()

    def generate(
        self, system: str, user: str, *, max_tokens: int, timeout: float, grammar: str | None = None
    ) -> str:
        """See :class:`llmrec.explain.generator.Generator`."""
        return self._answer(Question(system, user, max_tokens, grammar), timeout, None)

    def generate_all(
        self, questions: Sequence[Question], *, timeout: float, told: Told | None = None
    ) -> list[str | GenerationError]:
        """See :class:`llmrec.explain.generator.ManyAtOnce`. It answers one after the other: more at once
        would share the same cores."""
        until = time.monotonic() + timeout
        answers: list[str | GenerationError] = []
        for question in questions:
            try:
                answers.append(self._answer(question, max(0.0, until - time.monotonic()), told))
            except GenerationError as error:
                answers.append(error)
        return answers

    def _answer(self, question: Question, timeout: float, told: Told | None) -> str:
        deadline = time.monotonic() + timeout
        request: dict[str, Any] = {
            "messages": [
                {"role": "system", "content": question.system},
                {"role": "user", "content": question.user},
            ],
            "max_tokens": question.max_tokens,
            "temperature": 0.7 if question.again else 0,
            "seed": int(question.again),
            "cache_prompt": True,
            "stream": True,
            "return_progress": True,
        }
        if question.grammar is not None:
            request["grammar"] = question.grammar
        if not self._lock.acquire(timeout=timeout):
            raise GenerationError(f"no answer within {timeout:.3g} s: the model is busy")
        try:
            answer = _Answer(deadline, told)
            self._server.handle_chat_completions(request, answer)
        finally:
            self._lock.release()
        if answer.raised is not None:
            raise answer.raised
        if answer.late:
            raise GenerationError(f"no answer within {timeout:.3g} s")
        if answer.error:
            raise GenerationError(f"llama.cpp: {answer.error}")
        return answer.text.strip()


class _Answer:
    """Gathers a streamed answer; returning True tells llama.cpp to stop."""

    def __init__(self, deadline: float, told: Told | None) -> None:
        self.deadline, self.told = deadline, told
        self.text = ""
        self.error = ""
        self.late = False
        self.raised: BaseException | None = None

    def __call__(self, chunk: dict[str, Any]) -> bool:
        try:
            return self._take(chunk)
        except BaseException as error:  # of whoever is told, or Ctrl-C; it would be lost in llama.cpp
            self.raised = error
            return True

    def _take(self, chunk: dict[str, Any]) -> bool:
        if "error" in chunk:
            self.error = str(chunk["error"].get("message", chunk["error"]))
            return True
        for choice in chunk.get("choices", ()):
            if piece := choice.get("delta", {}).get("content"):
                self.text += piece
                if self.told is not None:
                    self.told(self.text.strip())
        self.late = time.monotonic() > self.deadline
        return self.late
