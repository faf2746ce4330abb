"""Refusing model files that could run code or exhaust memory when they are loaded.

What the loaders do, and so what is checked (transformers 5, sentence-transformers 5 and 6, peft):

- transformers and sentence-transformers take ``model.safetensors`` or its index where one lies in the
  folder, and ``pytorch_model.bin`` only otherwise; peft does the same with ``adapter_model``. So a pickle
  that lies beside such weights is never opened and is tolerated; any other is refused. The choice is made
  folder by folder: a module's folder (``2_Dense/``) needs safetensors of its own.
- ``transformers_weights`` in a configuration overrides that choice, so it may only name safetensors.
- A shard that a safetensors index names is opened by its extension, so an index may only name safetensors
  files of its own folder.
- sentence-transformers imports the classes that ``modules.json`` (and ``router_config.json``) name; before
  version 6 it does so for any class when the folder is local, also without ``trust_remote_code``.
- ``auto_map`` in a configuration points transformers to code; ``auto_mapping`` and ``megatron_core`` in an
  adapter's name modules that peft imports.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmrec.errors import AssetError, UnsafeFileError

_PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}
_NO_PICKLE = "Convert the weights to safetensors, or take a revision that has them."
_NO_CODE = (
    "llmrec does not run code that comes with a model; use a model that the libraries support themselves."
)
_MAX_JSON = 64 << 20


def check_model_folder(path: Path) -> None:
    """Refuse a model folder (or lone model file) that could run code when it is loaded.

    Raises:
        UnsafeFileError: names the file: pickled weights, Python code, a configuration that points to code, or
            malformed safetensors or GGUF.
        AssetError: nothing is there.
    """
    if not path.is_dir():
        check_file(path)
        return
    for file in sorted(path.rglob("*")):
        if file.is_dir():
            if file.is_symlink():
                raise UnsafeFileError(f"{file}: a link to another folder", "Copy the files instead.")
        elif not file.is_file():
            raise UnsafeFileError(f"{file}: neither a file nor a folder", "Remove it, or repair the link.")
        elif file.suffix == ".py":
            raise UnsafeFileError(f"{file}: Python code in a model folder", _NO_CODE)
        elif file.suffix == ".json":
            _check_json(file)
        elif not _is_never_opened(file):
            check_file(file)


def check_file(path: Path) -> None:
    """Refuse a file that could run code when it is loaded, or that is not what its extension says.

    Reads headers only: a file of any size is checked in milliseconds.

    Raises:
        UnsafeFileError: it is a pickle (by extension or content), or malformed safetensors or GGUF.
        AssetError: there is no such file.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
    except OSError as error:
        raise AssetError(f"{path}: cannot be read: {error.strerror}") from error
    if path.suffix.lower() in _PICKLES and not _is_openvino(path):
        raise UnsafeFileError(f"{path}: weights in a pickle file can run code", _NO_PICKLE)
    if _is_pickle(path, head):
        raise UnsafeFileError(f"{path}: is a pickle whatever its name says, and can run code", _NO_PICKLE)
    if path.suffix == ".safetensors":
        _check_safetensors(path)
    elif path.suffix == ".gguf" and not head.startswith(b"GGUF"):
        raise UnsafeFileError(f"{path}: not a GGUF file: it begins with {head[:4]!r}")


def _is_pickle(path: Path, head: bytes) -> bool:
    if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return True
    if head.startswith(b"\x93NUMPY"):
        return _holds_objects(path)
    if not head.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith((".pkl", ".pickle")) for name in archive.namelist())
    except zipfile.BadZipFile as error:
        raise UnsafeFileError(f"{path}: a damaged zip archive: {error}") from error


def _holds_objects(path: Path) -> bool:
    """Whether an array file holds pickled Python objects, or cannot be read without unpickling."""
    import numpy

    try:
        numpy.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:
        return True
    return False


def _is_openvino(path: Path) -> bool:
    """OpenVINO keeps plain numbers in a ``.bin`` beside the ``.xml`` that describes them."""
    return path.suffix == ".bin" and path.with_suffix(".xml").is_file()


def _is_never_opened(path: Path) -> bool:
    """Whether it is a pickle that the loaders pass over, since the same folder has safe weights."""
    if path.suffix.lower() not in _PICKLES:
        return False
    if path.name.startswith("adapter_model"):
        return path.with_name("adapter_model.safetensors").is_file()
    whole = path.with_name("model.safetensors").is_file()
    if whole or path.with_name("model.safetensors.index.json").is_file():
        return True
    # Beside an adapter only what a trainer leaves there (optimizer.pt, training_args.bin) is passed over.
    return not path.name.startswith("pytorch_model") and path.with_name("adapter_model.safetensors").is_file()


def _check_safetensors(path: Path) -> None:
    # The library reads the header alone and refuses one that is too long, not JSON, or whose tensors overlap,
    # leave gaps, lie outside the file, or have another size than their type and shape say.
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise UnsafeFileError(f"{path}: malformed safetensors: {error}") from error


def _check_json(path: Path) -> None:
    name = path.name
    wanted = name == "modules.json" or name.endswith(("config.json", ".safetensors.index.json"))
    if not wanted:
        return
    try:
        if path.stat().st_size > _MAX_JSON:
            raise UnsafeFileError(f"{path}: larger than {_MAX_JSON:,} bytes, which no configuration is")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnsafeFileError(f"{path}: not a JSON file that can be read: {error}") from error
    for problem in _code_in(name, value):
        raise UnsafeFileError(f"{path}: {problem}", _NO_CODE)


def _code_in(name: str, value: Any) -> Iterator[str]:
    """What in a configuration would make a loader import something, or open what was not checked."""
    table = value if isinstance(value, dict) else {}
    if name == "modules.json":
        for module in value if isinstance(value, list) else [value]:
            yield from _foreign_class(module.get("type") if isinstance(module, dict) else module)
    elif name == "router_config.json":
        for found in _values(table.get("types")):
            yield from _foreign_class(found)
    elif name.endswith(".index.json"):
        shards = {str(shard) for shard in _values(table.get("weight_map"))}
        yield from (f"names the shard {shard!r}" for shard in sorted(shards) if not _is_shard(shard))
    elif name == "adapter_config.json":
        library = _values(table.get("auto_mapping"), "parent_library")
        yield from (f"imports {found!r} (auto_mapping)" for found in library if not _is_known_library(found))
        if table.get("megatron_config"):
            yield f"imports {table.get('megatron_core')!r} (megatron_core)"
    weights = table.get("transformers_weights")
    if weights and not str(weights).endswith((".safetensors", ".safetensors.index.json")):
        yield f"names the weights {weights!r}"
    yield from (f"points to code (auto_map: {target!r})" for target in _auto_maps(value))


def _values(table: object, key: str | None = None) -> list[object]:
    """The values of a table, or that of one key; anything else counts as a value itself."""
    if not isinstance(table, dict):
        return [] if table is None else [table]
    return [value for name, value in table.items() if key in (None, name) and value is not None]


def _foreign_class(name: object) -> Iterator[str]:
    if not isinstance(name, str) or not name.startswith("sentence_transformers."):
        yield f"names the class {name!r}, which is not one of sentence-transformers"


def _is_known_library(name: object) -> bool:
    return str(name).split(".")[0] in {"transformers", "sentence_transformers", "peft"}


def _is_shard(name: str) -> bool:
    return re.fullmatch(r"[\w.-]+\.safetensors", name) is not None


def _auto_maps(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if node.get("auto_map"):
                yield node["auto_map"]
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
