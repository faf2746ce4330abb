"""Files that could run code or exhaust memory are refused by name, and nothing in them runs."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from llmrec.assets.safety import check_file, check_model_folder
from llmrec.errors import AssetError, UnsafeFileError


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "ran"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder as a hub snapshot or a pulled asset has it."""
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    save_file({"a": np.ones(4, np.float32), "b": np.ones((2, 2), np.float16)}, folder / "model.safetensors")
    write(folder / "config.json", {"model_type": "bert"})
    write(folder / "1_Pooling" / "config.json", {"pooling_mode": "mean"})
    modules = ["sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling"]
    write(folder / "modules.json", [{"idx": idx, "type": name} for idx, name in enumerate(modules)])
    return folder


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def torch_zip(path: Path, marker: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Payload(marker)))


def test_a_sound_folder_passes(model: Path) -> None:
    check_model_folder(model)
    check_model_folder(model / "model.safetensors")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "x.PKL", "a.ckpt", "b.joblib", "c.pth"])
def test_pickled_weights_are_refused_and_do_not_run(model: Path, marker: Path, name: str) -> None:
    (model / "model.safetensors").unlink()
    (model / name).write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(UnsafeFileError, match=name):
        check_model_folder(model)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_known_by_its_content(model: Path, marker: Path, protocol: int) -> None:
    (model / "vocab.txt").write_bytes(pickle.dumps(Payload(marker), protocol=protocol))
    with pytest.raises(UnsafeFileError, match=r"vocab\.txt: is a pickle"):
        check_model_folder(model)
    assert not marker.exists()


def test_a_pickle_named_safetensors_or_zipped_is_refused(model: Path, marker: Path) -> None:
    (model / "model.safetensors").write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(UnsafeFileError, match=r"model\.safetensors: is a pickle"):
        check_model_folder(model)
    torch_zip(model / "model.safetensors", marker)
    with pytest.raises(UnsafeFileError, match=r"model\.safetensors: is a pickle"):
        check_model_folder(model)
    assert not marker.exists()


def test_leftover_pickles_beside_safetensors_are_passed_over(model: Path, marker: Path) -> None:
    torch_zip(model / "pytorch_model.bin", marker)
    torch_zip(model / "training_args.bin", marker)
    check_model_folder(model)
    assert not marker.exists()


def test_safetensors_of_another_folder_do_not_cover_a_module(model: Path, marker: Path) -> None:
    (model / "2_Dense").mkdir()
    torch_zip(model / "2_Dense" / "pytorch_model.bin", marker)
    with pytest.raises(UnsafeFileError, match=r"2_Dense/pytorch_model\.bin"):
        check_model_folder(model)


def test_safetensors_of_another_name_do_not_cover_the_weights(model: Path, marker: Path) -> None:
    (model / "model.safetensors").rename(model / "other.safetensors")
    torch_zip(model / "pytorch_model.bin", marker)
    with pytest.raises(UnsafeFileError, match=r"pytorch_model\.bin"):
        check_model_folder(model)


def test_what_a_trainer_leaves_beside_an_adapter_is_passed_over(model: Path, marker: Path) -> None:
    (model / "model.safetensors").rename(model / "adapter_model.safetensors")
    torch_zip(model / "optimizer.pt", marker)
    check_model_folder(model)
    torch_zip(model / "pytorch_model.bin", marker)
    with pytest.raises(UnsafeFileError, match=r"pytorch_model\.bin"):
        check_model_folder(model)


def test_an_adapter_in_a_pickle_is_refused_although_the_model_is_safe(model: Path, marker: Path) -> None:
    torch_zip(model / "adapter_model.bin", marker)
    with pytest.raises(UnsafeFileError, match=r"adapter_model\.bin"):
        check_model_folder(model)


def test_openvino_weights_are_no_pickle_unless_they_are(model: Path, marker: Path) -> None:
    (model / "openvino").mkdir()
    (model / "openvino" / "openvino_model.xml").write_text("<net/>")
    (model / "openvino" / "openvino_model.bin").write_bytes(bytes(64))
    check_model_folder(model)
    (model / "openvino" / "openvino_model.bin").write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(UnsafeFileError, match=r"openvino_model\.bin: is a pickle"):
        check_model_folder(model)


def test_arrays_of_objects_are_refused(model: Path, marker: Path) -> None:
    np.save(model / "numbers.npy", np.ones(3))
    check_model_folder(model)
    np.save(model / "objects.npy", np.array([Payload(marker)], dtype=object), allow_pickle=True)
    with pytest.raises(UnsafeFileError, match=r"objects\.npy"):
        check_model_folder(model)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("modules.json", [{"type": "os.system"}], "names the class 'os.system'"),
        ("modules.json", [{"type": "sentence_transformers_evil.X"}], "sentence_transformers_evil"),
        ("modules.json", [{"path": ""}], "names the class None"),
        ("modules.json", ["modeling.X"], "names the class 'modeling.X'"),
        ("router_config.json", {"types": {"q": "modeling_x.Custom"}}, "modeling_x.Custom"),
        ("config.json", {"auto_map": {"AutoModel": "modeling_x.X"}}, "auto_map"),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "o/r--modeling_x.X"}}}, "auto_map"),
        ("config.json", {"transformers_weights": "adapter_model.bin"}, "names the weights"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["t.T", None]}}, "auto_map"),
        ("1_Pooling/config.json", {"auto_map": {"AutoModel": "x.X"}}, "auto_map"),
        ("model.safetensors.index.json", {"weight_map": {"a": "x.bin"}}, "names the shard 'x.bin'"),
        ("model.safetensors.index.json", {"weight_map": {"a": "../x.safetensors"}}, "names the shard"),
        ("adapter_config.json", {"auto_mapping": {"parent_library": "evil"}}, "imports 'evil'"),
        ("adapter_config.json", {"megatron_config": {"x": 1}, "megatron_core": "evil"}, "imports 'evil'"),
    ],
)
def test_configurations_that_point_to_code_are_refused(
    model: Path, name: str, content: Any, message: str
) -> None:
    write(model / name, content)
    with pytest.raises(UnsafeFileError, match=message) as caught:
        check_model_folder(model)
    assert str(model / name) in caught.value.message


def test_what_trained_models_normally_say_is_accepted(model: Path) -> None:
    write(model / "config.json", {"model_type": "bert", "auto_map": None})
    mapping = {"base_model_class": "BertModel", "parent_library": "transformers.models.bert.modeling_bert"}
    adapter = {"auto_mapping": mapping, "megatron_config": None, "megatron_core": "megatron.core"}
    write(model / "adapter_config.json", adapter)
    write(model / "model.safetensors.index.json", {"weight_map": {"a": "model-00001-of-00002.safetensors"}})
    check_model_folder(model)


@pytest.mark.parametrize("content", ["{", "[" * 200_000, "\x00\xff"])
def test_unreadable_configurations_are_refused(model: Path, content: str) -> None:
    (model / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(UnsafeFileError, match=r"config\.json: not a JSON file"):
        check_model_folder(model)


def test_python_files_are_refused(model: Path, marker: Path) -> None:
    (model / "modeling.py").write_text(f"open({str(marker)!r}, 'w')")
    with pytest.raises(UnsafeFileError, match=r"modeling\.py: Python code"):
        check_model_folder(model)
    assert not marker.exists()


def test_links_to_folders_and_special_files_are_refused(model: Path, tmp_path: Path) -> None:
    (model / "2_Dense").symlink_to(tmp_path)
    with pytest.raises(UnsafeFileError, match="2_Dense: a link to another folder"):
        check_model_folder(model)
    (model / "2_Dense").unlink()
    os.mkfifo(model / "pipe")
    with pytest.raises(UnsafeFileError, match="pipe: neither a file nor a folder"):
        check_model_folder(model)


def tensor(begin: int, end: int, dtype: str = "F32", shape: list[int] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape or [(end - begin) // 4], "data_offsets": [begin, end]}


def header(tensors: Any) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(struct.pack("<Q", 101_000_000) + b"{}", id="giant-header"),
        pytest.param(struct.pack("<Q", 1 << 63) + b"{}", id="absurd-header"),
        pytest.param(struct.pack("<Q", 5000) + b"{}", id="header-beyond-file"),
        pytest.param(struct.pack("<Q", 8) + b"not json", id="not-json"),
        pytest.param(header({"a": tensor(0, 8), "b": tensor(4, 12)}) + bytes(12), id="overlap"),
        pytest.param(header({"a": tensor(0, 8), "b": tensor(12, 16)}) + bytes(16), id="gap"),
        pytest.param(header({"a": tensor(0, 800)}) + bytes(8), id="out-of-range"),
        pytest.param(header({"a": tensor(0, 8)}) + bytes(9), id="trailing"),
        pytest.param(header({"a": tensor(0, 8, "F64", [8])}) + bytes(8), id="wrong-size"),
        pytest.param(header({"a": tensor(0, 8, "F32", [1 << 40, 1 << 40])}) + bytes(8), id="overflow"),
        pytest.param(header({"a": tensor(0, 8, "F99", [2])}) + bytes(8), id="unknown-type"),
        pytest.param(header({"a": tensor(8, 0, "F32", [2])}) + bytes(8), id="reversed"),
    ],
)
def test_malformed_safetensors_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(UnsafeFileError, match=r"model\.safetensors: malformed safetensors"):
        check_file(path)


def test_gguf_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(20))
    check_file(path)
    path.write_bytes(b"ELF!" + bytes(20))
    with pytest.raises(UnsafeFileError, match="not a GGUF file"):
        check_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"none\.gguf: cannot be read"):
        check_model_folder(tmp_path / "none.gguf")
