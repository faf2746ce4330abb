"""Using an adapter: all items are encoded by it beside the old vectors, and both are swapped at once.

Which one is in use is part of the snapshot, so that it changes in the transaction that changes vectors and
channels. Until then readers see the old state, and a run that is killed leaves it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmrec.adapters.keeping import prepare
from llmrec.encode import load_encoder
from llmrec.errors import AdapterError
from llmrec.evaluate.statistics import Difference, difference
from llmrec.indexing.reencode import Reencoding
from llmrec.indexing.steps import disk_errors
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.store.items import ItemTable
from llmrec.training.judge import METRIC
from llmrec.training.validation import Validation
from llmrec.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Gain:
    """NDCG@10 on validation by the encoder that was in use and by the new one, and the difference by user."""

    before: float
    after: float
    difference: Difference


@dataclass(frozen=True, slots=True)
class Used:
    """What is in use now.

    Args:
        adapter: None for the encoder without one.
        encoded: items encoded now.
        resumed: items taken from a run that was stopped.
        gain: None where nothing was asked: by force, without an adapter, or where it was in use already.
    """

    adapter: str | None
    encoded: int = 0
    resumed: int = 0
    gain: Gain | None = None


def use(
    workspace: Workspace, name: str | None, *, force: bool = False, progress: Progress = NoProgress()
) -> Used:
    """Encode all items by an adapter, train the channels on the new vectors, and swap.

    Args:
        workspace: an indexed one.
        name: of the adapter; None for the encoder without one.
        force: use it whatever validation would say.
        progress: shows merging, encoding and training.

    Raises:
        AdapterError: it is missing, damaged, of another model, or does not beat what is in use on validation.
        UnsafeFileError: its folder holds a pickle or code.
        WorkspaceError: nothing is indexed yet, another run is writing, the disk is full, or the items were
            encoded by another model.
        TrainingError: the log has nobody to ask.
    """
    with workspace.lock(), disk_errors(workspace.root):
        present = workspace.require_present()
        snapshot = present.snapshot
        if snapshot.encoder != workspace.settings.models.encoder:
            workspace.require_encoder(snapshot)
        adapter = None if name is None else prepare(workspace, name, progress)
        run = Reencoding(workspace, present, workspace.encoding(name), progress)
        if (name, run.encoding.fingerprint) == (snapshot.adapter, snapshot.encoder_fingerprint):
            run.journal.clear()
            return Used(name)
        workspace.events.unstage()
        asked = name != snapshot.adapter and not force
        rival = _Rival(run, adapter.card.protocol.split) if adapter and asked else None
        table = run()
        gain = rival.gain(table) if rival else None
        if gain and gain.difference.mean <= 0:
            workspace.collect()
            raise _no_better(str(name), snapshot.encoder_name, gain)
        run.publish(table)
    return Used(name, run.encoded, run.resumed, gain)


class _Rival:
    """What is in use, as the new vectors will be measured against it: on the log as it is now."""

    def __init__(self, run: Reencoding, split: str) -> None:
        workspace, self.run = run.workspace, run
        self.exact = workspace.settings.rank.exact_items
        used = workspace.require_encoder(run.present.snapshot)
        self.catalog = Catalog(run.present.table, self.exact)
        self.ask = Validation(workspace, self.catalog, split)
        encoder = load_encoder(used.spec, workspace.settings.encoder, run.progress)
        self.values = self.ask(encoder, self.catalog.vectors(np.arange(len(self.catalog))))[METRIC]

    def gain(self, table: ItemTable) -> Gain:
        """Of the new vectors in ``table``."""
        new = Catalog(table, self.exact)
        values = self.ask(self.run.encode.encoder, new.vectors(new.rows(self.catalog.ids)))[METRIC]
        return Gain(float(self.values.mean()), float(values.mean()), difference(values, self.values))


def _no_better(name: str, used: str, gain: Gain) -> AdapterError:
    found = gain.difference
    return AdapterError(
        f"{name} does not beat {used}, which is in use: NDCG@10 on validation {gain.after:.4f} against "
        f"{gain.before:.4f}, {found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]",
        "Nothing has changed. Fine-tune with other settings, or use it all the same with --force.",
    )
