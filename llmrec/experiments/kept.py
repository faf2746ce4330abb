"""What a comparison has done so far, so that one that is stopped goes on."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from llmrec.errors import WorkspaceError

_DIGEST = 32
"""Bytes of a SHA-256, which a file begins with."""


class Kept(MutableMapping[str, bytes]):
    """Files of a folder by name, each whole or absent; a damaged one counts as absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, name: str) -> bytes:
        try:
            content = (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise KeyError(name) from None
        digest, value = content[:_DIGEST], content[_DIGEST:]
        if hashlib.sha256(value).digest() != digest:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: bytes) -> None:
        part = self.folder / f"{name}.part"
        with part.open("wb") as file:
            file.write(hashlib.sha256(value).digest() + value)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.folder / name)

    def __delitem__(self, name: str) -> None:
        try:
            (self.folder / name).unlink()
        except FileNotFoundError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return (path.name for path in self.folder.iterdir() if path.suffix != ".part")

    def __len__(self) -> int:
        return sum(1 for _ in self)


@contextmanager
def kept(parent: Path, identity: str) -> Iterator[Kept]:
    """What a comparison of that identity has done before; forgotten once the block has ended well.

    Only the last comparison that was stopped is remembered.

    Raises:
        WorkspaceError: another comparison is running there, or the disk is full.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with FileLock(parent / ".lock", timeout=0):
            for other in parent.iterdir():
                if other.is_dir() and other.name != identity:
                    shutil.rmtree(other)
            found = Kept(parent / identity)
            yield found
            shutil.rmtree(found.folder)
    except Timeout as error:
        raise WorkspaceError(
            f"{parent.parent.parent}: another comparison of prompts is running", "Wait for it to end."
        ) from error
    except OSError as error:
        raise WorkspaceError(
            f"{parent}: cannot be written: {error.strerror or error}", "Free space, and start it again."
        ) from error
