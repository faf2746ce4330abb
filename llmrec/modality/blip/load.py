"""Captioners by name: which model, which engine, and what identifies the captions."""

from __future__ import annotations

import hashlib
import json

from llmrec import assets
from llmrec.assets import safety
from llmrec.config import CaptionSettings
from llmrec.errors import AssetError, ConfigError
from llmrec.modality.base import Captioner
from llmrec.modality.blip.captioner import BlipCaptioner, Decoding, Engine
from llmrec.modality.blip.folder import BlipFolder, read_blip_folder
from llmrec.modality.blip.words import CaptionTokenizer
from llmrec.progress import NoProgress, Progress
from llmrec.runtime import plugins
from llmrec.runtime.devices import has_gpu
from llmrec.runtime.folders import engine_folder

_SCHEME = "llmrec captioner 2"
"""Raised whenever preparation, decoding or trust change, so that no captions of two kinds are mixed."""

_SMALL, _SMALL_LEAST = 400_000_000, 0.41
"""Bytes of a checkpoint below which it is small, and the least probability of its words.

Of what ``blip-small`` says of held-out pictures most is right between .37 and .41.
"""
_COARSE = ("bfloat16", "nf4")
"""Precisions that give other captions; float32 and float16 agree."""


def load_captioner(
    spec: str, settings: CaptionSettings, progress: Progress | None = None, prompt: str = ""
) -> Captioner:
    """Load a captioner, pulling and converting its weights the first time.

    Args:
        spec: an asset's name, a URI (``hf: file: pypi: https:``) of a BLIP folder as transformers writes
            it, or ``plugin:NAME``.
        settings: engine, precision, decoding and sizes.
        progress: shows downloads and conversions.
        prompt: text that begins every caption.

    Raises:
        AssetError: the weights cannot be found, pulled or loaded, or are not of a BLIP captioning model.
        UnsafeFileError: they could run code or exhaust memory; they were not loaded.
        ConfigError: the settings do not fit the model or machine, or the plug-in is unknown.
        MissingExtraError: Pillow is not installed, or bitsandbytes and it is needed.
    """
    if plugins.is_plugin(spec):
        captioner: Captioner = plugins.load_plugin(spec, "captioner", settings)
        return captioner
    progress = progress or NoProgress()
    folder = open_blip_folder(spec, progress)
    tokenizer = CaptionTokenizer(folder, prompt)
    decoding = Decoding(tokenizer.prefix, settings.beams, settings.min_new_tokens, settings.max_new_tokens)
    _check_lengths(folder, decoding)
    return BlipCaptioner(
        folder,
        captioner_fingerprint(spec, settings, prompt),
        tokenizer,
        _load_engine(folder, decoding, settings, progress),
        batch_size=settings.batch_size,
        min_word_probability=_min_word_probability(folder, settings),
    )


def open_blip_folder(spec: str, progress: Progress) -> BlipFolder:
    """The folder of a BLIP captioning model, pulled the first time.

    Args:
        spec: an asset's name or a URI.
        progress: shows downloads.

    Raises:
        AssetError: it cannot be found or pulled, or is not of a BLIP captioning model.
        UnsafeFileError: its files could run code or exhaust memory.
    """
    path = assets.resolve(spec, progress)
    if not path.is_dir():
        raise AssetError(f"{path}: not a captioner", "It has to be a BLIP model folder.")
    safety.check_model_folder(path)
    return read_blip_folder(path, spec)


def captioner_fingerprint(spec: str, settings: CaptionSettings, prompt: str = "") -> str:
    """The ``fingerprint`` of the captioner that :func:`load_captioner` gives, without loading the model.

    It covers the model's files, beams, lengths, where captions end, prompt, and a precision that changes
    captions: ``bfloat16`` or ``nf4``. The engine and the other precisions are not part of it.

    Raises:
        AssetError: the spec is unknown, or a URI whose content was not pulled yet.
    """
    if plugins.is_plugin(spec):
        fingerprint: str = plugins.load_plugin(spec, "captioner", settings).fingerprint
        return fingerprint
    parts = {
        "scheme": _SCHEME,
        "model": assets.fingerprint(spec),
        "beams": settings.beams,
        "min_new_tokens": settings.min_new_tokens,
        "max_new_tokens": settings.max_new_tokens,
        "min_word_probability": settings.min_word_probability,
        "prompt": prompt,
        "precision": settings.precision if settings.precision in _COARSE else "exact",
    }
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _min_word_probability(folder: BlipFolder, settings: CaptionSettings) -> float:
    if settings.min_word_probability is not None:
        return settings.min_word_probability
    size = sum(file.stat().st_size for file in folder.path.glob("*.safetensors"))
    return _SMALL_LEAST if size < _SMALL else 0.0


def _check_lengths(folder: BlipFolder, decoding: Decoding) -> None:
    if decoding.min_new_tokens > decoding.max_new_tokens:
        raise ConfigError(
            f"caption.min_new_tokens ({decoding.min_new_tokens}) is more than "
            f"caption.max_new_tokens ({decoding.max_new_tokens})"
        )
    if (length := len(decoding.prefix) + decoding.max_new_tokens) > folder.positions:
        raise ConfigError(
            f"caption.max_new_tokens is {decoding.max_new_tokens}: with the prompt's tokens {length}, but "
            f"{folder.name} takes at most {folder.positions}"
        )


def _load_engine(
    folder: BlipFolder, decoding: Decoding, settings: CaptionSettings, progress: Progress
) -> Engine:
    engine = settings.engine
    if engine == "auto":
        engine = "torch" if has_gpu() or decoding.beams > 1 else "openvino"
    if engine == "torch":
        from llmrec.modality.blip.torch_engine import TorchEngine

        return TorchEngine(folder, decoding, settings.precision)
    if decoding.beams > 1:
        raise ConfigError("caption.engine openvino is greedy (beams = 1)", 'Set it to "auto".')
    if settings.precision in ("float16", "nf4"):
        raise ConfigError(
            f"caption.precision {settings.precision} is for GPUs, but caption.engine is openvino",
            'Set both to "auto".',
        )
    from llmrec.modality.blip.graph import converted_model
    from llmrec.modality.blip.openvino_engine import OpenVinoEngine

    graphs = converted_model(folder, engine_folder(folder.name, "openvino-caption"), progress)
    return OpenVinoEngine(graphs, folder, decoding, settings.precision)
