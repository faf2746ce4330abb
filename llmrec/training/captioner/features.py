"""What the frozen part of a vision tower makes of pictures, kept on disk by the pictures' content.

A file of rows in float16, which only grows and is read through memory mapping, and a list of batches: the
contents whose rows come next in the file, with a CRC-32 of each row. A batch is listed after its rows were
written, so that what a kill cuts off is not listed, and is written again.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from llmrec.errors import TrainingError

FOLDER = "captioner-features"
"""Of a workspace: a store for each vision tower, for the next run; it may be removed."""
_ROWS, _BATCHES, _LOCK = "rows.f16", "batches.jsonl", ".lock"

Features = NDArray[np.float16]


class FeatureStore:
    """The rows of one tower, (tokens, width) each.

    Args:
        folder: of this tower alone; made where there is none.
        tokens: of a picture.
        width: of a token.
    """

    def __init__(self, folder: Path, tokens: int, width: int) -> None:
        self.folder, self.shape = folder, (tokens, width)
        folder.mkdir(parents=True, exist_ok=True)
        self._read()

    @property
    def row_bytes(self) -> int:
        """Bytes of a picture."""
        return 2 * self.shape[0] * self.shape[1]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other writers out.

        Raises:
            TrainingError: another process is writing.
        """
        lock = FileLock(self.folder / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise TrainingError(
                f"{self.folder}: another run is computing features of pictures", "Wait for it to end."
            ) from error
        try:
            self._read()  # another run may have written meanwhile
            yield
        finally:
            lock.release()

    def missing(self, contents: Sequence[str]) -> list[str]:
        """Contents without a row that is whole, in their order."""
        rows = self._mapped()
        return [
            content
            for content in contents
            if (row := self._row_of.get(content)) is None or zlib.crc32(rows[row].data) != self._crc[row]
        ]

    def check_space(self, count: int) -> None:
        """Check that the rows of so many pictures fit on the disk.

        Raises:
            TrainingError: they do not.
        """
        needed, free = count * self.row_bytes, shutil.disk_usage(self.folder).free
        if needed > free:
            raise TrainingError(
                f"{self.folder}: features of {count:,} pictures take {needed / 1e9:.1f} GB, and "
                f"{free / 1e9:.1f} GB are free",
                "Free space, or learn from fewer pictures.",
            )

    def append(self, contents: Sequence[str], rows: Features) -> None:
        """Keep the rows of a batch, (pictures, tokens, width); when this returns they survive a kill.

        Raises:
            OSError: the disk is full.
        """
        with (self.folder / _ROWS).open("ab") as file:
            file.truncate(len(self._crc) * self.row_bytes)  # what a kill left without listing it
            file.seek(0, os.SEEK_END)
            file.write(np.ascontiguousarray(rows, "<f2").tobytes())
            file.flush()
            os.fsync(file.fileno())
        crc = [zlib.crc32(np.ascontiguousarray(row, "<f2").data) for row in rows]
        line = json.dumps({"contents": [*contents], "crc32": crc})
        with (self.folder / _BATCHES).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
        self._add(contents, crc)

    def open(self, contents: Sequence[str]) -> tuple[Features, NDArray[np.intp]]:
        """All rows, memory-mapped, and where those of ``contents`` are; each must have one."""
        (self.folder / _LOCK).touch()  # when it was used last, for prune()
        return self._mapped(), np.array([self._row_of[content] for content in contents], np.intp)

    def _read(self) -> None:
        self._crc: list[int] = []
        self._row_of: dict[str, int] = {}
        for contents, crc in self._listed():
            self._add(contents, crc)

    def _mapped(self) -> Features:
        if not self._crc:
            return np.empty((0, *self.shape), np.float16)
        return np.memmap(self.folder / _ROWS, "<f2", "r", shape=(len(self._crc), *self.shape))

    def _add(self, contents: Sequence[str], crc: Sequence[int]) -> None:
        for content, one in zip(contents, crc, strict=True):
            self._row_of[content] = len(self._crc)  # a later row takes the place of one that was damaged
            self._crc.append(one)

    def _listed(self) -> Iterator[tuple[list[str], list[int]]]:
        """Batches that are whole; a line that a kill cut off, and rows that are not there, end them."""
        path, rows = self.folder / _BATCHES, self.folder / _ROWS
        if not path.is_file() or not rows.is_file():
            path.unlink(missing_ok=True)
            return
        there, count, whole = rows.stat().st_size // self.row_bytes, 0, 0
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                batch = json.loads(line)
                contents, crc = batch["contents"], batch["crc32"]
            except (ValueError, KeyError, TypeError):
                break
            count += len(contents)
            if count > there or not line.endswith(b"\n"):
                break
            whole += len(line)
            yield contents, crc
        if whole < path.stat().st_size:
            with path.open("r+b") as file:
                file.truncate(whole)


def size(root: Path) -> int:
    """Bytes of all stores in a folder."""
    return sum(file.stat().st_size for store in _stores(root) for file in store.iterdir())


def prune(root: Path, days: float) -> int:
    """Remove the stores that no run used for ``days``, but for one that is being written; how many."""
    dropped = 0
    for store in _stores(root):
        lock = store / _LOCK
        if (lock if lock.exists() else store).stat().st_mtime > time.time() - days * 86_400:
            continue
        try:
            with FileLock(lock, timeout=0):
                shutil.rmtree(store)
        except Timeout:
            continue
        dropped += 1
    return dropped


def _stores(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
