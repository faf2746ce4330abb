"""The encoder with and without its adapters, side by side on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llmrec.adapters.keeping import kept, prepare
from llmrec.encode import Encoder, load_encoder
from llmrec.evaluate.splits import LEAVE_LAST_OUT
from llmrec.evaluate.statistics import Difference, Values, difference
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores
from llmrec.store.rows import DOCUMENT
from llmrec.training.judge import METRIC
from llmrec.training.validation import Validation
from llmrec.workspace import Workspace

_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Row:
    """What an encoder reaches.

    Args:
        adapter: None for the encoder without one.
        in_use: whether the items are encoded by it.
        values: of each user by metric, (users,).
        difference: of NDCG@10 to the encoder without an adapter, by user; None for that encoder.
    """

    adapter: str | None
    in_use: bool
    values: Mapping[str, Values]
    difference: Difference | None

    @property
    def metrics(self) -> dict[str, float]:
        """Means over users."""
        return {name: float(values.mean()) for name, values in self.values.items()}


@dataclass(frozen=True, slots=True)
class Compared:
    """The encoder without an adapter, then each adapter, on the same questions."""

    encoder: str
    users: int
    rows: Sequence[Row]

    def to_json(self) -> dict[str, Any]:
        """The JSON of ``llmrec adapters compare``."""
        return {
            "protocol": {"split": LEAVE_LAST_OUT, "stage": "validation", "users": self.users},
            "encoder": self.encoder,
            "rows": [
                {
                    "adapter": row.adapter,
                    "in_use": row.in_use,
                    "metrics": row.metrics,
                    "difference": None if row.difference is None else asdict(row.difference),
                }
                for row in self.rows
            ],
        }


def compare(workspace: Workspace, names: Sequence[str] = (), progress: Progress = NoProgress()) -> Compared:
    """Ask the encoder and adapters what users chose next; nothing of the workspace changes for readers.

    Args:
        workspace: an indexed one.
        names: of adapters; none for all that can be used.
        progress: shows merging and encoding.

    Raises:
        AdapterError: one that was named cannot be used.
        WorkspaceError: nothing is indexed yet, or the items were encoded by another model.
        TrainingError: the log has nobody to ask.
    """
    present = workspace.require_present()
    used = workspace.require_encoder(present.snapshot)
    catalog = Catalog(present.table, workspace.settings.rank.exact_items)
    validation = Validation(workspace, catalog, LEAVE_LAST_OUT)
    chosen = [*dict.fromkeys(names)] or [found.name for found in kept(workspace) if not found.problem]
    for name in chosen:
        prepare(workspace, name, progress)
    rows: list[Row] = []
    for adapter in (None, *chosen):
        encoding = workspace.encoding(adapter)
        encoder = load_encoder(encoding.spec, workspace.settings.encoder, progress)
        if encoding.fingerprint == used.fingerprint:
            items = catalog.vectors(np.arange(len(catalog)))
        else:
            items = _encoded(catalog, encoder, adapter or workspace.settings.models.encoder, progress)
        values = validation(encoder, items)
        gain = difference(values[METRIC], rows[0].values[METRIC]) if rows else None
        rows.append(Row(adapter, adapter == used.adapter, values, gain))
    return Compared(workspace.settings.models.encoder, len(rows[0].values[METRIC]), rows)


def _encoded(catalog: Catalog, encoder: Encoder, name: str, progress: Progress) -> Scores:
    """Vectors of the items' documents, by row."""
    vectors = np.empty((len(catalog), encoder.dimension), np.float32)
    done = 0
    with progress.task(f"Encoding items by {name}", total=len(catalog)) as task:
        for batch in catalog.table.scan([DOCUMENT]):
            texts = batch.column(0).to_pylist()
            for start in range(0, len(texts), _AT_ONCE):
                some = texts[start : start + _AT_ONCE]
                vectors[done : done + len(some)] = encoder.encode(some, kind="item")
                done += len(some)
                task.advance(len(some))
    return vectors
