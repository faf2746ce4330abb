"""Encoders in few bits: near the float32 one, smaller, and never mixed with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from encoder_contract import TEXTS
from tiny_models import write_tiny_bert, write_tiny_llama

from llmrec.config import EncoderSettings
from llmrec.encode import Encoder, encoder_fingerprint, load_encoder
from llmrec.encode.openvino_int8 import int8_model, quantize_weights
from llmrec.errors import AssetError, ConfigError, MissingExtraError
from llmrec.runtime import weights
from llmrec.runtime.openvino import cpu_core


def load(model: Path, engine: str, precision: str) -> Encoder:
    settings = EncoderSettings.model_validate({"engine": engine, "precision": precision})
    return load_encoder(f"file:{model}", settings)


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_tiny_bert, write_tiny_llama])
@pytest.mark.parametrize(
    ("engine", "precision", "least"),
    [("openvino", "int8", 0.99), ("torch", "int8", 0.99), ("torch", "nf4", 0.6), ("auto", "nf4", 0.6)],
)
def test_vectors_stay_near(write: object, engine: str, precision: str, least: float, tmp_path: Path) -> None:
    model = write(tmp_path / "model", 64)  # type: ignore[operator]
    reference, encoder = load(model, "torch", "float32"), load(model, engine, precision)
    vectors, expected = encoder.encode(TEXTS), reference.encode(TEXTS)
    cosines = (vectors * expected).sum(axis=1)
    assert least < cosines.mean() < 1
    assert encoder.weight_bytes < 0.6 * reference.weight_bytes  # type: ignore[attr-defined]
    np.testing.assert_array_equal(encoder.encode(TEXTS), vectors)


@pytest.mark.slow
def test_widths_that_four_bits_do_not_take_are_an_error_or_work(tmp_path: Path) -> None:
    try:
        encoder = load(write_tiny_bert(tmp_path / "model"), "torch", "nf4")
    except AssetError as error:
        assert "model: cannot be computed in nf4" in str(error)  # noqa: PT017
    else:
        assert encoder.encode(TEXTS).shape == (len(TEXTS), 32)


WHOLE = """
from llmrec.config import EncoderSettings
from llmrec.encode import load_encoder
load_encoder("file:MODEL", EncoderSettings(engine="torch", precision="float32"))
"""
FEW = """
from llmrec.runtime.weights import few_bits
few_bits("nf4", "cpu")
"""


@pytest.mark.slow
@pytest.mark.parametrize("begin", [FEW, WHOLE], ids=["few bits", "sentence-transformers"])
def test_nothing_is_downloaded_to_compute_with(tmp_path: Path, begin: str) -> None:
    model = write_tiny_bert(tmp_path / "model")
    program = f"""{begin.replace("MODEL", str(model))}
import sys
assert "bitsandbytes" in sys.modules
assert sys.modules.get("kernels", "none") is not None
import kernels
"""
    (tmp_path / "kernels.py").write_text(
        "def get_kernel(*_, **__): raise SystemExit('asked for a download')\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fingerprint_of_its_own(tmp_path: Path) -> None:
    spec = f"file:{tmp_path}"
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    prints = [
        encoder_fingerprint(spec, EncoderSettings.model_validate({"precision": precision}))
        for precision in ("auto", "float32", "bfloat16", "int8", "nf4")
    ]
    assert len(set(prints[:3])) == 1
    assert len(set(prints)) == 3


def test_openvino_has_no_four_bits(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nf4, which OpenVINO.*\n.*torch"):
        load(write_tiny_bert(tmp_path / "model"), "openvino", "nf4")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda name: None if name == "bitsandbytes" else object())
    with pytest.raises(MissingExtraError, match=r"bitsandbytes is required.*\n.*llmrec\[quantize\]"):
        weights.few_bits("nf4", "cpu")


def made(matrix: np.ndarray, table: np.ndarray) -> object:
    """A model that looks rows of a table up, adds a small matrix, and multiplies them with another."""
    import openvino
    from openvino import opset13 as ops

    ids = ops.parameter(openvino.PartialShape([-1]), np.int64)
    rows = ops.gather(ops.constant(table), ids, ops.constant(0))
    added = ops.add(rows, ops.constant(np.ones((1, table.shape[1]), np.float32)))
    return openvino.Model([ops.matmul(added, ops.constant(matrix), False, True)], [ids])


def test_rounding_is_by_row_and_halfway_at_most(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((24, 32)).astype(np.float32) * np.geomspace(1e-3, 1e3, 24)[:, None]
    table = rng.standard_normal((40, 32)).astype(np.float32)
    matrix[3], table[5] = 0, 0
    model = made(matrix.astype(np.float32), table)
    assert quantize_weights(model) == 2
    assert quantize_weights(model) == 0, "what is int8 already stays"
    # In float32 with weights restored, so that only their rounding is seen.
    options = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
    compiled = cpu_core().compile_model(model, "CPU", options)
    found = compiled([np.arange(40)])[0]
    restored = [np.rint(w / s) * s for w in (table, matrix) for s in [scales(w)]]
    np.testing.assert_allclose(found, (restored[0] + 1) @ restored[1].T, rtol=1e-3, atol=1e-3)
    assert np.abs(restored[1] - matrix).max(axis=1) == pytest.approx(
        np.abs(matrix).max(axis=1) / 254, rel=0.2
    )


def scales(matrix: np.ndarray) -> np.ndarray:
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    return np.where(largest > 0, largest / 127, 1)


def test_a_damaged_int8_model_is_made_again(tmp_path: Path) -> None:
    import openvino

    rng = np.random.default_rng(0)
    matrices = [rng.standard_normal((32, 32)).astype(np.float32) for _ in range(2)]
    source = tmp_path / "source.xml"
    openvino.save_model(made(*matrices), source, compress_to_fp16=False)
    file = int8_model(source, tmp_path / "int8").with_suffix(".bin")
    whole = file.read_bytes()
    assert len(whole) < 0.5 * source.with_suffix(".bin").stat().st_size
    file.write_bytes(whole[:-1])
    assert int8_model(source, tmp_path / "int8").with_suffix(".bin").read_bytes() == whole
