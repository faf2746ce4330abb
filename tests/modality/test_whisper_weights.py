"""Weights are read as what they are: numbers. Anything else is refused, and nothing in it runs."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from llmrec.config import TranscriptSettings
from llmrec.errors import AssetError, UnsafeFileError
from llmrec.modality.whisper import load_transcriber
from llmrec.modality.whisper.checkpoint import read_checkpoint
from llmrec.modality.whisper.weights import WhisperWeights

KINDS = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4, "uint16": 5}
"""CTranslate2's numbers of types; NumPy has no bfloat16, whose bits are written as uint16."""


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def model_bin(variables: Mapping[str, NDArray[Any]], *, version: int = 6, spec: str = "WhisperSpec") -> bytes:
    """A ``model.bin`` as CTranslate2 writes it."""
    data = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(variables))
    for name, values in variables.items():
        data += text(name) + struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
        data += struct.pack("<BI", KINDS[values.dtype.name], values.nbytes) + values.tobytes()
    return data + struct.pack("<I", 0)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def test_every_type_is_read_as_float32(tmp_path: Path) -> None:
    plain = np.array([[1.5, -2.25], [0.5, 100.0]], np.float32)
    per_row = np.array([50.0, 1.27], np.float32)
    variables = {
        "float32": plain,
        "float16": plain.astype(np.float16),
        "bfloat16": (plain.view(np.uint32) >> 16).astype(np.uint16),
        "int8": np.round(plain * per_row[:, None]).astype(np.int8),
        "int8_scale": per_row,
        "int16": np.round(plain * 200).astype(np.int16),
        "int16_scale": np.array(200, np.float32),
        "heads": np.array(8, np.int16),
    }
    (tmp_path / "model.bin").write_bytes(model_bin(variables))
    weights = WhisperWeights(tmp_path / "model.bin")
    for name in ("float32", "float16", "bfloat16", "int16"):
        np.testing.assert_array_equal(weights.read(name), plain)
    np.testing.assert_allclose(weights.read("int8"), plain, atol=0.4)
    assert weights.read("int8").dtype == np.float32
    assert int(weights.read("heads")) == 8
    with pytest.raises(UnsafeFileError, match="lacks the variable missing"):
        weights.read("missing")


GOOD = model_bin({"a": np.ones((2, 3), np.float32), "b": np.ones(4, np.int8)})


MALFORMED = {
    "empty": (b"", "not a Whisper model"),
    "zip": (b"PK\3\4 a zip file", "begins with"),
    "old": (model_bin({}, version=5), "begins with 0x5"),
    "no Whisper": (model_bin({}, spec="TransformerSpec"), "holds a TransformerSpec"),
    "cut in a tensor": (GOOD[:50], "a ends beyond the file"),
    "cut in a header": (GOOD[:40], "not a Whisper model"),
    "cut at the end": (GOOD[:-4], "not a Whisper model"),
    "too long": (GOOD + b"more", "goes on for 4 bytes"),
    "giant shape": (GOOD.replace(struct.pack("<II", 2, 3), struct.pack("<II", 2, 1 << 30)), "a has 24 bytes"),
    "unknown type": (GOOD.replace(struct.pack("<BI", 0, 24), struct.pack("<BI", 9, 24)), "of type 9"),
    "dangling alias": (GOOD[:-4] + struct.pack("<I", 1) + text("c") + text("d"), "c stands for d"),
}


@pytest.mark.parametrize(("data", "problem"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_refused(data: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(data)
    with pytest.raises(UnsafeFileError, match=problem) as caught:
        WhisperWeights(tmp_path / "model.bin")
    assert str(tmp_path / "model.bin") in caught.value.message


@pytest.mark.parametrize("engine", ["faster-whisper", "openai-whisper"])
def test_a_pickle_in_the_place_of_the_weights_does_not_run(engine: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.bin").write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(UnsafeFileError, match=r"model\.bin"):
        load_transcriber(f"file:{folder}", TranscriptSettings.model_validate({"engine": engine}))
    assert not marker.exists()


def test_a_checkpoint_that_would_run_code_does_not(tmp_path: Path) -> None:
    import torch

    marker = tmp_path / "ran"
    path = tmp_path / "base.pt"
    torch.save({"dims": {}, "model_state_dict": {"weight": Payload(marker)}}, path)
    with pytest.raises(UnsafeFileError, match=r"base\.pt.*more than tensors"):
        load_transcriber(f"file:{path}", TranscriptSettings())
    path.write_bytes(pickle.dumps(Payload(marker), protocol=2))
    with pytest.raises(UnsafeFileError, match=r"base\.pt"):
        load_transcriber(f"file:{path}", TranscriptSettings())
    assert not marker.exists()


def test_a_checkpoint_of_something_else_is_named(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "model.pt"
    for content in ({"weight": torch.ones(2)}, [1, 2], {"dims": {"n_mels": 80}, "model_state_dict": {}}):
        torch.save(content, path)
        with pytest.raises(AssetError, match="not a checkpoint of openai-whisper"):
            read_checkpoint(path)
    for data in (b"", b"not a checkpoint", path.read_bytes()[:200]):
        path.write_bytes(data)
        with pytest.raises((AssetError, UnsafeFileError), match=r"model\.pt"):
            read_checkpoint(path)
    with pytest.raises(AssetError, match=r"missing\.pt"):
        read_checkpoint(tmp_path / "missing.pt")


def test_a_checkpoint_as_openai_whisper_saves_it_is_read(tmp_path: Path) -> None:
    import torch
    from whisper.model import ModelDimensions, Whisper

    numbers = {"n_mels": 80, "n_vocab": 51865}
    numbers |= {f"n_{part}_{key}": 8 for part in ("audio", "text") for key in ("ctx", "state")}
    numbers |= {f"n_{part}_{key}": 1 for part in ("audio", "text") for key in ("head", "layer")}
    model = Whisper(ModelDimensions(**numbers))
    torch.nn.init.zeros_(model.decoder.positional_embedding)  # made without values, which may be no numbers
    torch.save({"dims": numbers, "model_state_dict": model.state_dict()}, tmp_path / "tiny.pt")
    read = read_checkpoint(tmp_path / "tiny.pt")
    assert read.is_multilingual
    for name, values in model.state_dict().items():
        assert torch.equal(values, read.state_dict()[name])
