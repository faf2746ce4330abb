"""All items of a workspace by another encoder, from what the item table knows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from llmrec.indexing.publish import publish
from llmrec.indexing.steps import CHUNK, ItemEncoding, Made, keyed
from llmrec.progress import Progress
from llmrec.prompts import load_prompt
from llmrec.schema import Columns
from llmrec.store.items import ItemTable
from llmrec.store.rows import (
    DOCUMENT,
    FIELD_VECTORS,
    ITEM_COLUMNS,
    KEY,
    VECTOR,
    ModalityVectors,
    item_of,
    rows_of,
)
from llmrec.workspace import Encoding, Present, Workspace

JOURNAL = "adapter"


class Reencoding:
    """Encodes beside what there is; only :meth:`publish` is visible to readers.

    A run that is killed leaves a journal, from which the next one continues.

    Args:
        workspace: which the caller has locked.
        present: what is encoded anew.
        encoding: by what.
        progress: shows what is done.
    """

    def __init__(
        self, workspace: Workspace, present: Present, encoding: Encoding, progress: Progress
    ) -> None:
        self.workspace, self.present, self.encoding, self.progress = workspace, present, encoding, progress
        self.journal = workspace.journal(JOURNAL)
        self.encoded = self.resumed = 0
        settings = workspace.settings.documents
        self.prompt = load_prompt(settings.item_prompt, workspace.root / "prompts")

    @cached_property
    def encode(self) -> ItemEncoding:
        """Makes the vectors; its models are loaded on first use."""
        return ItemEncoding(self.workspace, self.prompt, self.encoding, self.progress)

    def __call__(self) -> ItemTable:
        """Encode what the journal does not hold yet, and write the items with their new vectors."""
        table, store = self.present.table, self.workspace.items
        keys = {item: keyed(key, self.encoding.fingerprint) for item, key in table.keys().items()}
        with self.progress.task("Encoding items", total=len(keys)) as task:
            for batch in table.scan([*ITEM_COLUMNS, DOCUMENT, KEY, VECTOR, *FIELD_VECTORS.values()]):
                rows = batch.to_pylist()
                waiting = [
                    row for row in rows if self.journal.key_of(row[Columns.ITEM]) != keys[row[Columns.ITEM]]
                ]
                self.resumed += len(rows) - len(waiting)
                task.advance(len(rows) - len(waiting))
                for start in range(0, len(waiting), CHUNK):
                    chunk = waiting[start : start + CHUNK]
                    self._encode(chunk)
                    task.advance(len(chunk))
        dimension = self.encode.encoder.dimension
        index_rows = self.workspace.settings.store.index_rows
        return store.write(
            None, lambda: self.journal.batches(keys), keys.keys(), set(), dimension, index_rows
        )

    def publish(self, table: ItemTable) -> None:
        """Train the channels on the new vectors, and swap."""
        publish(self.workspace, table, self.present, self.encoding, self.prompt.identity, {}, self.progress)
        self.journal.clear()

    def _encode(self, rows: Sequence[dict[str, Any]]) -> None:
        items = [item_of(row) for row in rows]
        documents, vectors, by_modality = self.encode(
            items, [Made(row[DOCUMENT], _parts(row)) for row in rows]
        )
        # Where prompt or settings changed since the last index run, the next one has to make the row anew.
        contents = [
            row[KEY] if document.text == row[DOCUMENT] else ""
            for row, document in zip(rows, documents, strict=True)
        ]
        keys = [keyed(content, self.encoding.fingerprint) for content in contents]
        self.journal.append(rows_of(items, documents, keys, vectors, by_modality))
        self.encoded += len(rows)


def _parts(row: Mapping[str, Any]) -> ModalityVectors:
    """Vectors of an item's modalities, all by the encoder without an adapter, from its row.

    Where a row has none, the item has text alone and no adapter is in use, so that its whole's is the text's.
    """
    found = {modality: row[name] for modality, name in FIELD_VECTORS.items() if row[name] is not None}
    found = found or {"text": row[VECTOR]}
    return {modality: np.array(vector, np.float32) for modality, vector in found.items()}
