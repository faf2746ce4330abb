"""Transcribers by name: which model, which engine, and what identifies their answers."""

from __future__ import annotations

import hashlib
from pathlib import Path

from llmrec import assets
from llmrec.config import TranscriptSettings
from llmrec.errors import MissingExtraError
from llmrec.modality.base import Transcriber
from llmrec.modality.whisper.engine import Engine
from llmrec.modality.whisper.transcriber import WhisperTranscriber
from llmrec.progress import Progress

_SCHEME = "llmrec transcriber 1"
"""Raised whenever windows, guards or decoding change, so that no transcripts of two kinds are mixed."""


def load_transcriber(
    spec: str, settings: TranscriptSettings, progress: Progress | None = None
) -> Transcriber:
    """Load a transcriber, pulling its weights the first time.

    Args:
        spec: an asset's name, or a URI (``hf: file:``) of a Whisper model in CTranslate2 form.
        settings: engine, precision, language and thresholds.
        progress: shows downloads.

    Raises:
        AssetError: the weights cannot be found, pulled or loaded.
        UnsafeFileError: they are not what they should be; they were not loaded.
        ConfigError: the settings do not fit the model or machine.
        MissingExtraError: the engine is not installed.
    """
    fingerprint = transcriber_fingerprint(spec, settings) if assets.locate(spec) else None
    folder = assets.resolve(spec, progress)
    return WhisperTranscriber(
        spec, fingerprint or transcriber_fingerprint(spec, settings), _load_engine(folder, settings), settings
    )


def transcriber_fingerprint(spec: str, settings: TranscriptSettings) -> str:
    """The ``fingerprint`` of the transcriber that :func:`load_transcriber` gives, without loading the model.

    Every setting but ``batch_size`` is part of it: each can change the words.

    Raises:
        AssetError: the spec is unknown, or a URI whose content was not pulled yet.
    """
    settings = settings.model_copy(update={"batch_size": 1})
    parts = (_SCHEME, assets.fingerprint(spec), settings.model_dump_json())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _load_engine(folder: Path, settings: TranscriptSettings) -> Engine:
    try:
        from llmrec.modality.whisper.faster import FasterWhisper

        return FasterWhisper(folder, settings.precision)
    except ImportError as error:
        raise MissingExtraError("faster-whisper", "audio") from error
