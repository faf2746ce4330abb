"""The small steps of an index run."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.documents import ItemDocuments, Tokenizer
from llmrec.encode import Encoder, load_tokenizer
from llmrec.errors import WorkspaceError
from llmrec.progress import Progress
from llmrec.prompts import Prompt
from llmrec.schema import Document, Flag, Item, Modality
from llmrec.workspace import Encoding, Workspace

CHUNK = 512
_CHUNK_SECONDS = 15.0
"""Items encoded between two writes of the journal, or the time until it: what a kill can cost."""


def keyed(content: str, encoder: str) -> str:
    """A row's key: what the row is made of, and by which encoder.

    Args:
        content: digest, or the key that another encoder gave the row.
        encoder: fingerprint.
    """
    return f"{content.partition('-')[0]}-{encoder[:16]}"


def with_failures(key: str, failures: Sequence[Flag]) -> str:
    """A row's key: once what failed is read after all, the row is made anew."""
    if not failures:
        return key
    content, _, encoder = key.partition("-")
    reasons = sorted((flag.field, flag.source, flag.reason) for flag in failures)
    return keyed(hashlib.sha256(json.dumps([content, reasons]).encode()).hexdigest()[:32], encoder)


def chunks(described: Iterator[tuple[Item, list[Flag]]]) -> Iterator[list[tuple[Item, list[Flag]]]]:
    """Items to encode together; media may come slowly, and what was made of them should not wait for long."""
    chunk: list[tuple[Item, list[Flag]]] = []
    began = 0.0
    for entry in described:
        began = began if chunk else time.monotonic()
        chunk.append(entry)
        if len(chunk) == CHUNK or time.monotonic() - began > _CHUNK_SECONDS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def item_documents(
    workspace: Workspace, prompt: Prompt, encoding: Encoding, encoder: Encoder, progress: Progress
) -> ItemDocuments:
    """Makes items into documents that fit the workspace's encoder.

    An adapter may read less of them, as much as it was trained on: that cuts what is encoded, not what is
    kept.
    """
    settings = workspace.settings
    bounds: Tokenizer = encoder
    if encoding.adapter is not None:
        bounds = load_tokenizer(settings.models.encoder, settings.encoder, progress)
    return ItemDocuments(prompt, settings.documents, bounds)


def encoded(
    encoder: Encoder, documents: Sequence[Document], by_modality: Sequence[Mapping[Modality, str]]
) -> tuple[NDArray[np.float32], list[dict[Modality, NDArray[np.float32]]]]:
    """Vectors of documents, and of each modality's text, in one call; equal texts are encoded once."""
    whole = [document.text for document in documents]
    texts = list(dict.fromkeys(chain(whole, *(parts.values() for parts in by_modality))))
    vectors = encoder.encode(texts, kind="item")
    place = {text: row for row, text in enumerate(texts)}
    fields = [{name: vectors[place[text]] for name, text in parts.items()} for parts in by_modality]
    return vectors[[place[text] for text in whole]], fields


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
