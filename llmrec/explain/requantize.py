"""GGUF files with their matrices in another format."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from llmrec.errors import AssetError
from llmrec.progress import Progress
from llmrec.runtime.folders import cached_folder

_MODEL = "model.gguf"
_RECIPE = "gguf q8_0 1"
"""Raised whenever the conversion below would write another file."""

_BLOCK = 32
"""Weights of Q8_0 that share a scale."""

_SLOW = "Q4_1"
"""llama.cpp has no packed kernels for it. Of 135 M parameters a core wrote 79 tokens/s, 90 in Q8_0."""
_SMALL = 200_000_000
"""Bytes above which a model waits for memory rather than for the processor."""


def format_of(gguf: Path) -> str:
    """The format that most bytes of a file are in, such as ``Q4_1``.

    Raises:
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
        AssetError: the file cannot be read, or the cache not be written.
    """
    return cached_folder(cache, _RECIPE, lambda folder: _write(gguf, folder / _MODEL)) / _MODEL


def for_cpu(gguf: Path, cache: Path, progress: Progress) -> Path:
    """The file that llama.cpp runs fastest on a CPU: a small one of Q4_1 in eight bits, any other as it is.

    Args:
        gguf: the file.
        cache: folder where what is made of it is kept, or that it is to be used as it is.
        progress: shows the conversion.

    Raises:
        AssetError: the cache cannot be written.
    """
    if gguf.stat().st_size > _SMALL:
        return gguf

    def build(folder: Path) -> None:
        try:
            slow = format_of(gguf) == _SLOW
        except AssetError:  # llama.cpp may know newer files; if not, it says what is wrong
            slow = False
        if slow:
            with progress.task(f"Converting {gguf.name} for CPUs", total=1, unit="models") as task:
                _write(gguf, folder / _MODEL)
                task.advance()

    made = cached_folder(cache, _RECIPE, build) / _MODEL
    return made if made.is_file() else gguf


def _reader(gguf: Path) -> Any:
    from gguf import GGUFReader

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
