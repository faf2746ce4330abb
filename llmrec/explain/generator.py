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
    from llmrec.assets import fingerprint, resolve
    from llmrec.assets.safety import check_file
    from llmrec.explain.llama import LlamaCpp

    path = gguf_of(resolve(spec, progress))
    check_file(path)
    return LlamaCpp(path, fingerprint(spec))


def gguf_of(path: Path) -> Path:
    """The model of an asset: the file, or the only GGUF file of the folder.

    Raises:
        ConfigError: the folder holds none, or several.
    """
    if path.is_file():
        return path
    found = sorted(path.rglob("*.gguf"))
    if len(found) != 1:
        raise ConfigError(
            f"{path}: holds {len(found)} GGUF files where an explainer needs one",
            "Set models.explainer to file:PATH of the one to use.",
        )
    return found[0]
