"""Reading ``model.bin``, the file in which CTranslate2 keeps weights: a header and plain numbers, no pickle.

Layout (little endian; a string is its length with a closing zero byte, then the bytes): version, name and
revision of the specification; the number of variables, each with name, rank, shape, type, bytes and numbers;
the number of aliases, each with its name and the variable's.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import AssetError, UnsafeFileError

_VERSION = 6
_SPEC = "WhisperSpec"
_BFLOAT16 = 5
_TYPES = ("<f4", "<i1", "<i2", "<i4", "<f2", "<u2")
"""What the numbers 0 to 5 stand for; NumPy has no bfloat16, whose bits are read as integers."""


@dataclass(frozen=True, slots=True)
class Variable:
    """Where a tensor lies in the file."""

    kind: int
    shape: tuple[int, ...]
    offset: int


class WhisperWeights:
    """The variables of a Whisper model's ``model.bin``; numbers are read when asked for.

    Raises:
        AssetError: there is no such file.
        UnsafeFileError: it is another kind of file, of another kind of model, or malformed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as stream:
                self.variables = _read_header(stream, path.stat().st_size)
        except OSError as error:
            raise AssetError(f"{path}: cannot be read: {error.strerror}") from error
        except (struct.error, ValueError) as error:
            raise UnsafeFileError(
                f"{path}: not a Whisper model as CTranslate2 writes it: {error}",
                "Convert the model with ct2-transformers-converter.",
            ) from error

    def read(self, name: str) -> NDArray[np.float32]:
        """A tensor in float32, dequantised if it was stored in 8 or 16 bits.

        Raises:
            UnsafeFileError: the file has no such variable.
        """
        values = self._stored(name)
        kind = self.variables[name].kind
        if kind == _BFLOAT16:
            return (values.astype(np.uint32) << 16).view(np.float32)
        numbers = values.astype(np.float32)
        if f"{name}_scale" not in self.variables:
            return numbers
        scale = self._stored(f"{name}_scale").astype(np.float32)
        rows = scale.reshape(-1, *[1] * (numbers.ndim - 1)) if scale.ndim else scale
        return np.asarray(numbers / rows, dtype=np.float32)

    def count(self, prefix: str) -> int:
        """How many layers are named ``prefix`` and a number."""
        rest = {name.removeprefix(prefix).split("/")[0] for name in self.variables if name.startswith(prefix)}
        return sum(part.isdecimal() for part in rest)

    def _stored(self, name: str) -> NDArray[np.generic]:
        if name not in self.variables:
            raise UnsafeFileError(f"{self.path}: lacks the variable {name}, which Whisper needs")
        found = self.variables[name]
        return np.memmap(self.path, _TYPES[found.kind], "r", found.offset, found.shape or (1,)).reshape(
            found.shape
        )


def _read_header(stream: IO[bytes], size: int) -> dict[str, Variable]:
    if (version := _number(stream, "<I")) != _VERSION:
        raise ValueError(f"it begins with {version:#x}")
    if (name := _string(stream)) != _SPEC:
        raise ValueError(f"it holds a {name}")
    _number(stream, "<I")  # the revision, which CTranslate2 checks
    variables = {}
    for _ in range(_number(stream, "<I")):
        name = _string(stream)
        shape = tuple(_number(stream, "<I") for _ in range(_number(stream, "B")))
        kind, length = _number(stream, "B"), _number(stream, "<I")
        if kind >= len(_TYPES) or length != math.prod(shape) * np.dtype(_TYPES[kind]).itemsize:
            raise ValueError(f"{name} has {length} bytes, of type {kind} and shape {shape}")
        variables[name] = Variable(kind, shape, stream.tell())
        if stream.seek(length, 1) > size:
            raise ValueError(f"{name} ends beyond the file")
    for _ in range(_number(stream, "<I")):
        alias, name = _string(stream), _string(stream)
        if name not in variables:
            raise ValueError(f"{alias} stands for {name}, which it lacks")
    if stream.tell() != size:
        raise ValueError(f"it goes on for {size - stream.tell()} bytes")
    return variables


def _number(stream: IO[bytes], form: str) -> int:
    (value,) = struct.unpack(form, stream.read(struct.calcsize(form)))
    return int(value)


def _string(stream: IO[bytes]) -> str:
    return stream.read(_number(stream, "<H")).rstrip(b"\0").decode()
