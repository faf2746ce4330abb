"""A GGUF model in this process, through llama.cpp (the ``xllamacpp`` wheel)."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import Any

from llmrec.errors import ConfigError
from llmrec.explain.generator import GenerationError

CONTEXT = 2048
_BATCH = 256
_BYTES_PER_THREAD = 200_000_000


class LlamaCpp:
    """Generates deterministically (temperature 0), one answer at a time; safe to call from many threads.

    Args:
        path: a GGUF file with a chat template.
        fingerprint: names the weights.

    Raises:
        ConfigError: llama.cpp cannot load the file.
    """

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
        cores = os.cpu_count() or 1
        # Threads spin while they wait for each other, many times a token. Beside other work on two cores an
        # answer of a 100 MB model took 13 s with two threads and 2.6 s with one; alone, two gain little.
        params.cpuparams.n_threads = min(cores, 1 + path.stat().st_size // _BYTES_PER_THREAD)
        params.cpuparams_batch.n_threads = cores
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
        deadline = time.monotonic() + timeout
        request: dict[str, Any] = {
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            "max_tokens": max_tokens,
            "temperature": 0,
            "seed": 0,
            "cache_prompt": True,
            "stream": True,
            "return_progress": True,
        }
        if grammar is not None:
            request["grammar"] = grammar
        if not self._lock.acquire(timeout=timeout):
            raise GenerationError(f"no answer within {timeout:g} s: the model is busy")
        try:
            answer = _Answer(deadline)
            self._server.handle_chat_completions(request, answer)
        finally:
            self._lock.release()
        if answer.late:
            raise GenerationError(f"no answer within {timeout:g} s")
        if answer.error:
            raise GenerationError(f"llama.cpp: {answer.error}")
        return answer.text.strip()


class _Answer:
    """Gathers a streamed answer; returning True tells llama.cpp to stop."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.text = ""
        self.error = ""
        self.late = False

    def __call__(self, chunk: dict[str, Any]) -> bool:
        if "error" in chunk:
            self.error = str(chunk["error"].get("message", chunk["error"]))
            return True
        for choice in chunk.get("choices", ()):
            self.text += choice.get("delta", {}).get("content") or ""
        self.late = time.monotonic() > self.deadline
        return self.late
