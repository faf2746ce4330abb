"""The small steps of an index run."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.documents import ItemDocuments
from llmrec.encode import Encoder, load_encoder
from llmrec.errors import WorkspaceError
from llmrec.progress import Progress
from llmrec.prompts import Prompt
from llmrec.schema import Document, Flag, Item, Modality
from llmrec.store.rows import ModalityVectors
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


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of an item before.

    Args:
        document: its text.
        vectors: of each of its modalities; of ``text`` too where it has nothing else.
    """

    document: str
    vectors: ModalityVectors


class ItemEncoding:
    """Makes items into documents and vectors: wholes by what is in use, parts by it without an adapter.

    An adapter has learnt where wholes belong by who chose them. What their parts say is better told by the
    encoder that has learnt language: on MovieLens the fusion scorer lost 7% of its NDCG@10 with both by the
    adapter. It may also read less of a text, as much as it was trained on; documents are not cut for that.

    Args:
        workspace: whose settings name the encoder.
        prompt: of the documents.
        encoding: what is in use.
        progress: where loading shows itself.
    """

    def __init__(self, workspace: Workspace, prompt: Prompt, encoding: Encoding, progress: Progress) -> None:
        settings = workspace.settings
        self.encoder = load_encoder(encoding.spec, settings.encoder, progress)
        self._apart = encoding.adapter is not None
        self._of_parts = self.encoder
        if self._apart:
            self._of_parts = load_encoder(settings.models.encoder, settings.encoder, progress)
        self.documents = ItemDocuments(prompt, settings.documents, self._of_parts)

    def __call__(
        self, items: Sequence[Item], made: Sequence[Made] = ()
    ) -> tuple[list[Document], NDArray[np.float32], list[ModalityVectors]]:
        """Documents of items, their vectors, (items, dimension), and those of each item's modalities.

        Args:
            made: for each item, what the encoder without an adapter made of its modalities before. With an
                adapter that is taken, where the document is still the same.
        """
        documents = self.documents(items)
        wholes = [document.text for document in documents]
        if not self._apart:
            parts = self.documents.by_modality(items)
            of_text = _vectors(self.encoder, [*wholes, *chain(*(each.values() for each in parts))])
            return documents, np.stack([of_text[text] for text in wholes]), _by_modality(parts, of_text)
        kept = {at: one.vectors for at, one in enumerate(made) if one.document == wholes[at]}
        new = [at for at in range(len(items)) if at not in kept]
        # A text alone has its whole's vector only where one encoder makes both.
        parts = [
            each or {"text": wholes[at]}
            for at, each in zip(new, self.documents.by_modality([items[at] for at in new]), strict=True)
        ]
        of_part = _vectors(self._of_parts, [*chain(*(each.values() for each in parts))])
        found = kept | dict(zip(new, _by_modality(parts, of_part), strict=True))
        of_whole = _vectors(self.encoder, wholes)
        return (
            documents,
            np.stack([of_whole[text] for text in wholes]),
            [found[at] for at in range(len(items))],
        )


def _vectors(encoder: Encoder, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """The vector of each text; equal ones are encoded once."""
    distinct = list(dict.fromkeys(texts))
    return dict(zip(distinct, encoder.encode(distinct, kind="item"), strict=True)) if distinct else {}


def _by_modality(
    parts: Sequence[Mapping[Modality, str]], vectors: Mapping[str, NDArray[np.float32]]
) -> list[ModalityVectors]:
    return [{name: vectors[text] for name, text in each.items()} for each in parts]


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
