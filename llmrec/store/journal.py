"""The journal of an index run: encoded rows on disk, batch by batch, until they are published together.

A run that is killed leaves its journal; the next one takes from it every row whose key is still wanted, so
that nothing is encoded twice. The key covers the item's content, the prompt and the encoder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa

from llmrec.schema import Columns
from llmrec.store.rows import KEY


class Journal:
    """Arrow files in a folder, each complete or absent; their names hold a digest of their content."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob("*.part"):
            unfinished.unlink()
        self._rows: dict[str, tuple[str, Path]] = {}
        """item id → (key, the file that holds its newest row)"""
        for path in self._files():
            self._index(path)
        self._next = max((int(path.stem.partition("-")[0]) for path in self._files()), default=0) + 1

    def key_of(self, item_id: str) -> str | None:
        """Key of the row kept for an item, None where there is none."""
        return self._rows[item_id][0] if item_id in self._rows else None

    def append(self, batch: pa.RecordBatch) -> None:
        """Keep a batch; when this returns it survives a kill."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        content = sink.getvalue().to_pybytes()
        path = self.folder / f"{self._next:08d}-{_digest(content)}.arrow"
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        self._next += 1
        self._remember(path, batch)

    def batches(self, wanted: Collection[str]) -> Iterator[pa.RecordBatch]:
        """The newest rows of the ``wanted`` item ids, file by file."""
        for path in self._files():
            for batch in _read(path):
                ids = batch.column(Columns.ITEM).to_pylist()
                mask = [item in wanted and self._rows[item][1] == path for item in ids]
                if any(mask):
                    yield batch.filter(pa.array(mask))

    def clear(self) -> None:
        """Forget everything, after it was published."""
        shutil.rmtree(self.folder)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.arrow"))

    def _index(self, path: Path) -> None:
        if path.stem.partition("-")[2] != _digest(path.read_bytes()):
            path.unlink()  # damaged; only costs encoding its rows again
            return
        for batch in _read(path):
            self._remember(path, batch)

    def _remember(self, path: Path, batch: pa.RecordBatch) -> None:
        ids, keys = batch.column(Columns.ITEM).to_pylist(), batch.column(KEY).to_pylist()
        for item, key in zip(ids, keys, strict=True):
            self._rows[item] = (key, path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _read(path: Path) -> Iterator[pa.RecordBatch]:
    with path.open("rb") as file, pa.ipc.open_stream(file) as reader:
        yield from reader
