"""GGUF files as model folders, so that any engine runs them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from llmrec.errors import AssetError, MissingExtraError
from llmrec.progress import Progress
from llmrec.runtime.folders import cached_folder

_RECIPE = "gguf 1"
"""Raised whenever the conversion below would write another model."""

_SINGLE_DIGITS = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
"""Pre-tokenizers, as llama.cpp names them, that split numbers into digits; transformers leaves that out."""


def model_folder_of(gguf: Path, cache: Path, progress: Progress) -> Path:
    """The model in a GGUF file as a folder of float32 safetensors, converted unless ``cache`` holds it whole.

    Raises:
        MissingExtraError: Accelerate, which reads GGUF for PyTorch, is not installed.
        AssetError: the file cannot be read, or the cache not be written.
    """

    def build(target: Path) -> None:
        if find_spec("accelerate") is None:
            raise MissingExtraError("accelerate", "gguf")
        with progress.task(f"Converting {gguf.name}", total=1, unit="models") as task:
            _convert(gguf, target)
            task.advance()

    return cached_folder(cache, _RECIPE, build)


def _convert(gguf: Path, target: Path) -> None:
    import torch
    import transformers

    from llmrec.runtime.libraries import quiet

    options = {"gguf_file": gguf.name, "local_files_only": True}
    # Releases that can keep weights packed do so unless told otherwise, and cannot save them then.
    unpack = {}
    if hasattr(transformers, "GgufConfig"):
        unpack["quantization_config"] = transformers.GgufConfig(dequantize=True)
    with quiet():
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(gguf.parent), **options)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                str(gguf.parent), dtype=torch.float32, **options, **unpack
            )
        except Exception as error:  # transformers documents no errors of its GGUF reader
            raise AssetError(f"{gguf}: cannot be read: {error}") from error
        model.hf_quantizer = None
        vars(model.config).pop("quantization_config", None)
        model.save_pretrained(target)
        _split_numbers(gguf, tokenizer)
        tokenizer.save_pretrained(target)


def _split_numbers(gguf: Path, tokenizer: object) -> None:
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers

    stated = GGUFReader(gguf).fields.get("tokenizer.ggml.pre")
    if stated is not None and stated.contents() in _SINGLE_DIGITS:
        backend = tokenizer.backend_tokenizer  # type: ignore[attr-defined]
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), backend.pre_tokenizer]
        )
