"""Transcribers by name: which model, which engine, and what identifies their answers."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llmrec import assets
from llmrec.config import TranscriptSettings
from llmrec.errors import AssetError, ConfigError, MissingExtraError, UnsafeFileError
from llmrec.modality.base import Transcriber
from llmrec.modality.whisper.engine import Engine
from llmrec.modality.whisper.transcriber import WhisperTranscriber
from llmrec.modality.whisper.weights import WhisperWeights
from llmrec.progress import NoProgress, Progress
from llmrec.runtime import plugins
from llmrec.runtime.folders import engine_folder

_SCHEME = "llmrec transcriber 2"
"""Raised whenever windows, guards or decoding change, so that no transcripts of two kinds are mixed."""
_OPENAI = "openai:"
_CHECKPOINT = ".pt"


def load_transcriber(
    spec: str, settings: TranscriptSettings, progress: Progress | None = None
) -> Transcriber:
    """Load a transcriber, pulling and converting its weights the first time.

    Args:
        spec: an asset's name; a URI (``hf: file: https:``) of a Whisper folder in CTranslate2 form or of a
            ``.pt`` checkpoint of openai-whisper; ``openai:NAME``, a model that openai-whisper offers; or
            ``plugin:NAME``.
        settings: engine, precision, language and thresholds.
        progress: shows downloads and conversions.

    Raises:
        AssetError: the weights cannot be found, pulled or loaded, or are not of a Whisper model.
        UnsafeFileError: they could run code or are malformed; they were not loaded.
        ConfigError: the settings do not fit the model or machine, or the model or plug-in is unknown.
        MissingExtraError: an engine is not installed.
    """
    if plugins.is_plugin(spec):
        transcriber: Transcriber = plugins.load_plugin(spec, "transcriber", settings)
        return transcriber
    progress = progress or NoProgress()
    uri = asset_uri(spec)
    path = assets.resolve(uri, progress)
    if spec.startswith(_OPENAI):
        _check_download(uri, spec)
    engine = _load_engine(uri, path, settings, progress)
    return WhisperTranscriber(spec, transcriber_fingerprint(spec, settings), engine, settings)


def transcriber_fingerprint(spec: str, settings: TranscriptSettings) -> str:
    """The ``fingerprint`` of the transcriber that :func:`load_transcriber` gives, without loading the model.

    Every setting but ``batch_size`` is part of it: the thresholds decide what is decoded a second time, and
    engines and precisions differ in some words.

    Raises:
        AssetError: the spec is unknown, or a URI whose content was not pulled yet.
    """
    if plugins.is_plugin(spec):
        fingerprint: str = plugins.load_plugin(spec, "transcriber", settings).fingerprint
        return fingerprint
    uri = asset_uri(spec)
    decisive = settings.model_copy(update={"batch_size": 1, "engine": _engine(uri, settings)})
    parts = (_SCHEME, assets.fingerprint(uri), decisive.model_dump_json())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def asset_uri(spec: str) -> str:
    """The asset that a transcriber's weights are: ``openai:turbo`` is a file at an address of its maker.

    Raises:
        ConfigError: openai-whisper offers no model of that name.
        MissingExtraError: openai-whisper, which knows the addresses, is not installed.
    """
    if not spec.startswith(_OPENAI):
        return spec
    addresses: dict[str, str] = _import_whisper()._MODELS
    name = spec.removeprefix(_OPENAI)
    if name not in addresses:
        raise ConfigError(f"{spec}: openai-whisper has no such model", f"It has: {', '.join(addresses)}.")
    return addresses[name]


def _check_download(uri: str, spec: str) -> None:
    # The digest stands in the address, and the address in the installed package.
    expected = uri.split("/")[-2]
    if (found := assets.fingerprint(uri)) != expected:
        raise UnsafeFileError(f"{spec}: the file that was downloaded has SHA-256 {found}, not {expected}")


def _engine(uri: str, settings: TranscriptSettings) -> str:
    if settings.engine != "auto":
        return settings.engine
    return "openai-whisper" if uri.endswith(_CHECKPOINT) else "faster-whisper"


def _load_engine(uri: str, path: Path, settings: TranscriptSettings, progress: Progress) -> Engine:
    if find_spec("faster_whisper") is None:  # the voice detector comes with it, whichever engine decodes
        raise MissingExtraError("faster-whisper", "audio")
    if _engine(uri, settings) == "openai-whisper":
        _import_whisper()
        from llmrec.modality.whisper.openai import OpenAIWhisper

        return OpenAIWhisper(_openai_model(uri, path, progress), settings.precision)
    if not path.is_dir():
        raise ConfigError(
            f"{path}: faster-whisper takes a folder in CTranslate2 form",
            'For a .pt checkpoint set transcript.engine to "openai-whisper".',
        )
    from llmrec.modality.whisper.faster import FasterWhisper

    WhisperWeights(path / "model.bin")
    return FasterWhisper(path, settings.precision)


def _openai_model(uri: str, path: Path, progress: Progress) -> Any:
    from llmrec.modality.whisper.checkpoint import converted_model, read_checkpoint

    if path.is_dir():
        return converted_model(path, engine_folder(uri, "openai-whisper"), progress)
    if path.suffix == _CHECKPOINT:
        return read_checkpoint(path)
    raise AssetError(f"{path}: not a transcriber", "It has to be a CTranslate2 folder or a .pt checkpoint.")


def _import_whisper() -> Any:
    try:
        import whisper
    except ImportError as error:
        raise MissingExtraError("openai-whisper", "whisper") from error
    return whisper
