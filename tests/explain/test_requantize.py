"""A GGUF file in eight bits says what the file says that it was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, LlamaFileType, quants

from llmrec.errors import AssetError
from llmrec.explain import requantize
from llmrec.explain.requantize import for_cpu, format_of, q8_0
from llmrec.progress import NoProgress

RNG = np.random.default_rng(0)
MATRIX = RNG.standard_normal((16, 64)).astype(np.float32)
ODD = RNG.standard_normal((4, 5)).astype(np.float32)
NORM = RNG.standard_normal(64).astype(np.float32)
WORDS = ["<s>", "naïve", "日本"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_file_type(LlamaFileType.MOSTLY_Q4_1)
    writer.add_block_count(1)
    writer.add_rope_freq_base(1234.5)
    writer.add_token_list(WORDS)
    writer.add_token_types([3, 1, 1])
    packed = quants.quantize(MATRIX, GGMLQuantizationType.Q4_1)
    writer.add_tensor("matrix", packed, raw_dtype=GGMLQuantizationType.Q4_1)
    writer.add_tensor("odd", ODD)
    writer.add_tensor("norm", NORM)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_everything_but_the_format_stays(file: Path, tmp_path: Path) -> None:
    made = q8_0(file, tmp_path / "cache")
    before, after = GGUFReader(file), GGUFReader(made)
    assert (format_of(file), format_of(made)) == ("Q4_1", "Q8_0")
    contents = {name: field.contents() for name, field in after.fields.items() if "GGUF." not in name}
    assert contents.pop("general.file_type") == LlamaFileType.MOSTLY_Q8_0
    for name, content in contents.items():
        assert content == before.fields[name].contents()
        assert after.fields[name].types == before.fields[name].types
    assert contents["tokenizer.ggml.tokens"] == WORDS
    assert len(contents) == len([name for name in before.fields if "GGUF." not in name]) - 1
    tensors = {tensor.name: tensor for tensor in after.tensors}
    assert [*tensors] == ["matrix", "odd", "norm"]
    np.testing.assert_array_equal(tensors["odd"].data, ODD)
    np.testing.assert_array_equal(tensors["norm"].data, NORM)
    shipped = quants.dequantize(before.tensors[0].data, GGMLQuantizationType.Q4_1)
    kept = quants.dequantize(tensors["matrix"].data, tensors["matrix"].tensor_type)
    assert tensors["matrix"].tensor_type == GGMLQuantizationType.Q8_0
    assert np.abs(kept - shipped).max() <= np.abs(shipped).max() / 127
    assert not np.array_equal(shipped, MATRIX)


def test_it_is_made_once(file: Path, tmp_path: Path) -> None:
    made = q8_0(file, tmp_path / "cache")
    time = made.stat().st_mtime_ns
    assert q8_0(file, tmp_path / "cache").stat().st_mtime_ns == time


def test_a_cpu_runs_a_small_file_of_a_slow_format_in_eight_bits(file: Path, tmp_path: Path) -> None:
    made = for_cpu(file, tmp_path / "cpu", NoProgress())
    assert made != file
    assert format_of(made) == "Q8_0"
    time = made.stat().st_mtime_ns
    assert for_cpu(file, tmp_path / "cpu", NoProgress()) == made
    assert made.stat().st_mtime_ns == time
    assert for_cpu(made, tmp_path / "again", NoProgress()) == made


def test_a_cpu_runs_other_files_as_they_are(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = tmp_path / "unknown.gguf"
    unknown.write_bytes(b"GGUF" + bytes(20))
    assert for_cpu(unknown, tmp_path / "unknown", NoProgress()) == unknown
    monkeypatch.setattr(requantize, "_SMALL", file.stat().st_size - 1)
    assert for_cpu(file, tmp_path / "large", NoProgress()) == file
    assert not (tmp_path / "large").exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(b"GGUF" + bytes(20))
    for read in (format_of, lambda path: q8_0(path, tmp_path / "cache")):
        with pytest.raises(AssetError, match=r"cut\.gguf: cannot be read"):
            read(tmp_path / "cut.gguf")
