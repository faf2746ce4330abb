"""GGUF files with their matrices in another format."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from llmrec.errors import AssetError, MissingExtraError
from llmrec.runtime.folders import cached_folder

_RECIPE = "gguf q8_0 1"
"""Raised whenever the conversion below would write another file."""

_BLOCK = 32
"""Weights of Q8_0 that share a scale."""


def format_of(gguf: Path) -> str:
    """The format that most bytes of a file are in, such as ``Q4_1``.

    Raises:
        MissingExtraError: the package that reads GGUF is not installed.
        AssetError: the file cannot be read.
    """
    sizes: Counter[str] = Counter()
    for tensor in _reader(gguf).tensors:
        sizes[tensor.tensor_type.name] += int(tensor.n_bytes)
    return sizes.most_common(1)[0][0]


def q8_0(gguf: Path, cache: Path) -> Path:
    """A model's GGUF file with its matrices in eight bits, written unless ``cache`` holds it whole.

    They are made of what the file holds: of four bits they keep the error.

    Raises:
        MissingExtraError: the package that reads GGUF is not installed.
        AssetError: the file cannot be read, or the cache not be written.
    """
    return cached_folder(cache, _RECIPE, lambda folder: _write(gguf, folder / "model.gguf")) / "model.gguf"


def _reader(gguf: Path) -> Any:
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise MissingExtraError("gguf", "gguf") from error
    try:
        return GGUFReader(gguf)
    except Exception as error:  # the library documents none
        raise AssetError(f"{gguf}: cannot be read: {error}") from error


def _write(gguf: Path, target: Path) -> None:
    reader = _reader(gguf)
    from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter, LlamaFileType, quants

    fields = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    writer = GGUFWriter(target, fields.pop("general.architecture").contents())
    fields.pop("general.file_type", None)
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0)
    for name, field in fields.items():
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=inner)
    for tensor in reader.tensors:
        if tensor.shape[0] % _BLOCK or len(tensor.shape) < 2:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        values = quants.dequantize(tensor.data, tensor.tensor_type)
        packed = quants.quantize(values, GGMLQuantizationType.Q8_0)
        writer.add_tensor(tensor.name, packed, raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
