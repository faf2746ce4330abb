"""The end of a run: the channels are trained on a version of the items, and both become visible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmrec.encode import load_encoder
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores
from llmrec.rank.log import Log, Rows
from llmrec.rank.ranker import Ranker
from llmrec.store.items import ItemTable
from llmrec.users import UserTexts
from llmrec.workspace import Encoding, Present, Snapshot, Workspace


def publish(
    workspace: Workspace,
    table: ItemTable,
    present: Present | None,
    encoding: Encoding,
    prompt: str,
    logs: Mapping[str, int],
    progress: Progress,
) -> None:
    """Train the channels, and make them visible with the items and the staged events, all or nothing.

    Args:
        workspace: which the caller has locked.
        table: the items, written.
        present: what the run has changed; None where it began anew.
        encoding: what encoded the items.
        prompt: identity of the item prompt.
        logs: the logs that were read now.
        progress: shows training.
    """
    channels = workspace.channels_folder()
    _ranker(workspace, table, present, encoding, progress).save(channels)
    snapshot = Snapshot(
        table=table.name,
        version=table.version,
        items=len(table),
        encoder=workspace.settings.models.encoder,
        adapter=encoding.adapter,
        encoder_fingerprint=encoding.fingerprint,
        dimension=table.dimension,
        prompt=prompt,
        channels=channels.name,
        files=workspace.checksums(table, channels, present.snapshot.files if present else {}),
        logs={**(present.snapshot.logs if present else {}), **logs},
    )
    workspace.events.commit(snapshot.model_dump())
    workspace.collect()


def _ranker(
    workspace: Workspace, table: ItemTable, present: Present | None, encoding: Encoding, progress: Progress
) -> Ranker:
    """The channels, trained anew only where the log, the vectors or what training depends on has changed."""
    settings = workspace.settings
    catalog = Catalog(table, settings.rank.exact_items)
    log = Log.of(workspace.events.log(), catalog.row_of, len(catalog))
    if (
        present is not None
        and present.snapshot.encoder_fingerprint == encoding.fingerprint
        and Ranker.serves(present.channels, log.fingerprint(catalog.ids), settings.rank)
    ):
        return Ranker.load(present.channels, catalog, settings.rank)

    def vectors(users: Sequence[tuple[str, Rows]]) -> Scores:
        encoder = load_encoder(encoding.spec, settings.encoder, progress)
        return UserTexts(workspace, catalog, encoder)(users)

    new = Ranker.arrivals(present.channels, catalog, settings.rank) if present else {}
    return Ranker.fit(catalog, log, settings.rank, vectors, progress, new)
