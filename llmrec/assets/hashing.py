"""Digests of files, remembered so that large weights are not hashed twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from llmrec.assets.paths import home

_WEIGHTS = {".safetensors", ".gguf"}
_LOADED = _WEIGHTS | {".json", ".txt", ".model", ".jinja"}


def sha256_file(path: Path) -> str:
    """SHA-256 (hex) of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def combine(digests: Mapping[str, str]) -> str:
    """One digest for several files: SHA-256 over ``path digest`` lines, or a lone file's own digest."""
    if len(digests) == 1:
        return next(iter(digests.values()))
    lines = "".join(f"{path} {digest}\n" for path, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def path_fingerprint(path: Path) -> str:
    """Digest of a file, or of the files of a folder that a model is loaded from.

    In a folder with safetensors or GGUF weights these are weights, JSON, vocabularies and templates, so that
    a README or unused copies of the weights do not count; in any other folder, every file that is not hidden.
    """
    if path.is_file():
        return _remembered_sha256(path)
    files = [
        file
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if any(file.suffix in _WEIGHTS for file in files):
        files = [file for file in files if file.suffix in _LOADED]
    return combine({file.relative_to(path).as_posix(): _remembered_sha256(file) for file in files})


def _remembered_sha256(path: Path) -> str:
    path = path.resolve()
    status = path.stat()
    state = [str(path), status.st_size, status.st_mtime_ns]
    memo = home() / "hashes" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(memo.read_text(encoding="utf-8"))
        if known["state"] == state:
            return str(known["sha256"])
    digest = sha256_file(path)
    # A cache that cannot be written (read-only image, full disk) only costs time.
    with contextlib.suppress(OSError):
        write_json(memo, {"state": state, "sha256": digest})
    return digest


def write_json(path: Path, value: object) -> None:
    """Write a JSON file in one step: readers see the old or the new content, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(value, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
