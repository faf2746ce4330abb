"""Telling an unchanged catalog or log from a changed one without reading its rows."""

from __future__ import annotations

import hashlib
from pathlib import Path

from llmrec.errors import ReaderError
from llmrec.readers.arrow import split_of


def source_digest(source: str | Path) -> str:
    """SHA-256 (hex) of a file's bytes; of a folder, of its files' names and bytes, and of the split named.

    Raises:
        ReaderError: it is missing or unreadable.
    """
    path, split = split_of(Path(source))
    try:
        if not path.is_dir():
            return _file_digest(path)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        entries = [f"{_file_digest(file)} {file.relative_to(path).as_posix()}" for file in files]
    except FileNotFoundError as error:
        raise ReaderError(f"{source}: no such file") from error
    except OSError as error:
        raise ReaderError(f"{source}: cannot be read: {error}") from error
    return hashlib.sha256("\n".join([split, *entries]).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
