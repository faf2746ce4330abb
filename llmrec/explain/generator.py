"""What writes an explanation: an endpoint, a plug-in, a GGUF model, or a transformers folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from llmrec.config import ExplainSettings
from llmrec.errors import ConfigError, LlmrecError
from llmrec.progress import Progress
from llmrec.runtime.devices import has_gpu
from llmrec.runtime.folders import engine_folder
from llmrec.runtime.plugins import is_plugin, load_plugin

ENDPOINT = "openai:"
"""What the name of an explainer that is an endpoint begins with."""

DEFAULTS = ExplainSettings()

Told = Callable[[str], None]
"""Is called with the text so far, each time that it grows. Nobody has checked it."""


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


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked.

    Args:
        system: the instructions, the same from question to question.
        user: the message to answer.
        max_tokens: the longest answer.
        grammar: GBNF that the answer should follow; None leaves the model its own words.
        facts: the numbers that the answer may cite, where it should come as JSON (see
            :mod:`llmrec.explain.sentences`); empty for plain text. A grammar goes before.
        again: whether an answer was refused, so that another one is wanted.
    """

    system: str
    user: str
    max_tokens: int
    grammar: str | None = None
    facts: tuple[int, ...] = ()
    again: bool = False


@runtime_checkable
class ManyAtOnce(Protocol):
    """A generator that answers several questions in about the time of one."""

    @property
    def fingerprint(self) -> str:
        """See :class:`Generator`."""

    @property
    def batch_size(self) -> int:
        """How many questions it is best given at once."""

    def generate_all(
        self, questions: Sequence[Question], *, timeout: float, told: Told | None = None
    ) -> list[str | GenerationError]:
        """Answer questions, in their order. One that fails does not touch the others.

        Args:
            timeout: seconds for all of them, waiting for other callers included.
            told: hears the answer while it is written, where there is one question. Where an answer is begun
                anew, so is what is told.
        """


class OneByOne:
    """A :class:`ManyAtOnce` of a generator that answers one question at a time."""

    batch_size = 1

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    @property
    def fingerprint(self) -> str:
        """That of the generator."""
        return self.generator.fingerprint

    def generate_all(
        self, questions: Sequence[Question], *, timeout: float, told: Told | None = None
    ) -> list[str | GenerationError]:
        """See :class:`ManyAtOnce`. An answer is told when it is whole."""
        until = time.monotonic() + timeout
        answers: list[str | GenerationError] = []
        for question in questions:
            try:
                text = self.generator.generate(
                    question.system,
                    question.user,
                    max_tokens=question.max_tokens,
                    timeout=max(0.0, until - time.monotonic()),
                    grammar=question.grammar,
                )
                if told is not None:
                    told(text)
                answers.append(text)
            except GenerationError as error:
                answers.append(error)
        return answers


def many(generator: Generator) -> ManyAtOnce:
    """The generator itself if it answers several questions at once, else one that asks it in turn."""
    return generator if isinstance(generator, ManyAtOnce) else OneByOne(generator)


def is_endpoint(spec: str) -> bool:
    """Whether a model is named as ``openai:URL#MODEL``."""
    return spec.startswith(ENDPOINT)


def load_generator(spec: str, progress: Progress, settings: ExplainSettings = DEFAULTS) -> Generator:
    """The generator that ``models.explainer`` of the settings names.

    Args:
        spec: an asset's name or URI (a GGUF file, a folder with one, or a transformers folder with
            safetensors), ``openai:URL#MODEL``, or ``plugin:NAME``.
        progress: where a download shows itself.
        settings: what is written at once, and the precision of a transformers folder.

    Raises:
        AssetError: the model cannot be found, downloaded or loaded.
        UnsafeFileError: a file is not what it should be.
        ConfigError: there is no such plug-in, the endpoint is not named as it should be, or llama.cpp cannot
            load the model.
        MissingExtraError: the precision needs bitsandbytes and that is not installed.
    """
    if is_plugin(spec):
        generator: Generator = load_plugin(spec, "explainer")
        return generator
    if is_endpoint(spec):
        from llmrec.explain.endpoint import Endpoint

        return Endpoint.named(spec, settings.batch_size)
    from llmrec.assets import fingerprint, resolve

    path = resolve(spec, progress)
    if _is_transformers(path):
        from llmrec.explain.torch_generator import load_torch

        return load_torch(path, fingerprint(spec), settings)
    from llmrec.explain.llama import LlamaCpp

    file = gguf_file(spec, progress)
    served = served_file(spec, file, progress)
    # Answers are kept by the fingerprint, and another format may give others.
    changed = "" if served == file else ":q8_0"
    return LlamaCpp(served, fingerprint(spec) + changed)


def served_file(spec: str, file: Path, progress: Progress) -> Path:
    """The GGUF file that answers: ``file`` of an explainer, on a CPU in the format that runs fastest there.

    Raises:
        AssetError: it cannot be converted.
    """
    if has_gpu():
        return file
    from llmrec.explain.requantize import for_cpu

    return for_cpu(file, engine_folder(spec, "gguf-cpu"), progress)


def gguf_file(spec: str, progress: Progress) -> Path:
    """The GGUF file of an explainer, pulled and checked: the asset itself, or the only one of its folder.

    Raises:
        AssetError: the model cannot be found or downloaded.
        UnsafeFileError: the file is not what it should be.
        ConfigError: it is an endpoint, or the folder holds none, or several.
    """
    from llmrec.assets import resolve
    from llmrec.assets.safety import check_file

    if is_endpoint(spec):
        raise ConfigError(
            "models.explainer is an endpoint, whose weights are not here",
            "Set models.explainer to a GGUF file, such as smollm2-135m-instruct.",
        )
    path = resolve(spec, progress)
    found = [path] if path.is_file() else sorted(path.rglob("*.gguf"))
    if len(found) != 1:
        raise ConfigError(
            f"{path}: holds {len(found)} GGUF files where an explainer needs one",
            "Set models.explainer to file:PATH of the one to use.",
        )
    check_file(found[0])
    return found[0]


def _is_transformers(path: Path) -> bool:
    """Whether a folder holds a model for transformers, and none for llama.cpp."""
    return path.is_dir() and (path / "config.json").is_file() and not any(path.rglob("*.gguf"))
