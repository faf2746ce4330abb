"""The small steps of an index run."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from llmrec.errors import WorkspaceError
from llmrec.schema import Flag, Item

_CHUNK = 512
_CHUNK_SECONDS = 15.0
"""Items encoded between two writes of the journal, or the time until it: what a kill can cost."""


def with_failures(key: str, failures: Sequence[Flag]) -> str:
    """A row's key: once what failed is read after all, the row is made anew."""
    if not failures:
        return key
    reasons = sorted((flag.field, flag.source, flag.reason) for flag in failures)
    return hashlib.sha256(json.dumps([key, reasons]).encode()).hexdigest()[:32]


def chunks(described: Iterator[tuple[Item, list[Flag]]]) -> Iterator[list[tuple[Item, list[Flag]]]]:
    """Items to encode together; media may come slowly, and what was made of them should not wait for long."""
    chunk: list[tuple[Item, list[Flag]]] = []
    began = 0.0
    for entry in described:
        began = began if chunk else time.monotonic()
        chunk.append(entry)
        if len(chunk) == _CHUNK or time.monotonic() - began > _CHUNK_SECONDS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


_FULL = ("No space left", "File too large", "disk is full")


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """A full disk, whichever library met it, as an error with the way out; ``root`` is the workspace."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, sqlite3.OperationalError) as error:
        if not any(sign in str(error) for sign in _FULL):
            raise
        raise WorkspaceError(
            f"{root}: the disk is full; the previous index is intact",
            "Free some space and run the same command again: it continues where it stopped.",
        ) from error
