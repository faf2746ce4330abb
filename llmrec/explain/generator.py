"""What writes an explanation: a plug-in, or a GGUF model through llama.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from llmrec.errors import ConfigError, LlmrecError
from llmrec.progress import Progress
from llmrec.runtime.plugins import is_plugin, load_plugin


class GenerationError(LlmrecError):
    """A generator that failed or took too long."""


class Generator(Protocol):
    """A language model that answers one message. ``fingerprint`` changes when its answers may."""

    @property
    def fingerprint(self) -> str:
        """Names the model and its revision."""

    def generate(
        self, system: str, user: str, *, max_tokens: int, timeout: float, grammar: str | None = None
    ) -> str:
        """Answer ``user``.

        Args:
            system: the instructions, the same from call to call.
            max_tokens: the longest answer.
            timeout: seconds, waiting for other callers included.
            grammar: GBNF that the answer should follow; a generator without grammars may ignore it.

        Raises:
            GenerationError: it failed, or ``timeout`` passed.
        """


def load_generator(spec: str, progress: Progress) -> Generator:
    """The generator that ``models.explainer`` of the settings names.

    Args:
        spec: an asset's name or URI (a GGUF file, or a folder with one), or ``plugin:NAME``.
        progress: where a download shows itself.

    Raises:
        AssetError: the model cannot be found or downloaded.
        UnsafeFileError: the file is not what it should be.
        ConfigError: there is no such plug-in, or llama.cpp cannot load the model.
    """
    if is_plugin(spec):
        generator: Generator = load_plugin(spec, "explainer")
        return generator
    from llmrec.assets import fingerprint
    from llmrec.explain.llama import LlamaCpp

    return LlamaCpp(gguf_file(spec, progress), fingerprint(spec))


def gguf_file(spec: str, progress: Progress) -> Path:
    """The GGUF file of an explainer, pulled and checked: the asset itself, or the only one of its folder.

    Raises:
        AssetError: the model cannot be found or downloaded.
        UnsafeFileError: the file is not what it should be.
        ConfigError: the folder holds none, or several.
    """
    from llmrec.assets import resolve
    from llmrec.assets.safety import check_file

    path = resolve(spec, progress)
    found = [path] if path.is_file() else sorted(path.rglob("*.gguf"))
    if len(found) != 1:
        raise ConfigError(
            f"{path}: holds {len(found)} GGUF files where an explainer needs one",
            "Set models.explainer to file:PATH of the one to use.",
        )
    check_file(found[0])
    return found[0]
