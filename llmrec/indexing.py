"""The index run: a catalog and its logs become a new snapshot of a workspace.

Read → compare with what is there → encode what changed into the journal → write the items → train the
channels → commit. Only the last step is visible to readers. A run that is killed anywhere leaves the old
snapshot, and a journal from which the next run continues.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from llmrec.documents import ItemDocuments
from llmrec.encode import Encoder, encoder_fingerprint, load_encoder
from llmrec.errors import MediaRefusedError, WorkspaceError
from llmrec.media.paths import is_url, resolve_media
from llmrec.progress import NoProgress, Progress
from llmrec.prompts import load_prompt
from llmrec.rank.catalog import Catalog
from llmrec.rank.ranker import Ranker, interactions_of
from llmrec.readers import read_interactions, read_items, read_users, source_digest
from llmrec.schema import Columns, Flag, Item
from llmrec.store.journal import Journal
from llmrec.store.rows import rows_of
from llmrec.workspace import Present, Snapshot, Workspace

ERRORS = "errors.jsonl"
_CHUNK = 512
"""Items encoded between two writes of the journal: what a kill can cost."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What to index.

    ``item_columns`` and ``event_columns`` map a source's column name to llmrec's, where they differ.
    """

    catalog: Path
    interactions: tuple[Path, ...] = ()
    users: tuple[Path, ...] = ()
    item_columns: Mapping[str, str] = field(default_factory=dict)
    event_columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class IndexReport:
    """What an index run did.

    ``cut`` maps a field to (items in which it was cut, tokens lost); ``skipped`` names the attributes kept
    out of documents because they look like identifiers.
    """

    items: int = 0
    encoded: int = 0
    resumed: int = 0
    unchanged: int = 0
    deleted: int = 0
    events: int = 0
    new_events: int = 0
    users: int = 0
    flags: list[Flag] = field(default_factory=list)
    cut: dict[str, tuple[int, int]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


class IndexRun:
    """One run over a workspace.

    Args:
        workspace: where to.
        sources: what to index.
        rebuild: begin anew beside the present items, and swap at the end.
        delete_missing: remove items that the catalog no longer has.
        progress: where to show what is done.
    """

    def __init__(
        self,
        workspace: Workspace,
        sources: Sources,
        *,
        rebuild: bool = False,
        delete_missing: bool = False,
        progress: Progress = NoProgress(),
    ) -> None:
        self.workspace = workspace
        self.sources = sources
        self.rebuild = rebuild
        self.delete_missing = delete_missing
        self.progress = progress
        self.report = IndexReport()
        settings = workspace.settings
        self.prompt = load_prompt(settings.documents.item_prompt, workspace.root / "prompts")
        self.fingerprint = encoder_fingerprint(settings.models.encoder, settings.encoder)
        recipe = [self.prompt.identity, self.fingerprint, settings.documents.model_dump_json()]
        self._recipe = hashlib.sha256(json.dumps(recipe).encode())

    def __call__(self) -> IndexReport:
        """Run.

        Raises:
            ReaderError: a source cannot be read at all.
            WorkspaceError: another run is writing, the disk is full, or the present items were encoded by
                another model and ``rebuild`` was not asked for.
        """
        with self.workspace.lock(), _disk_errors(self.workspace.root):
            present = self._base()
            journal = self.workspace.journal("rebuild" if self.rebuild else "update")
            changed, deleted = self._compare(present)
            if changed:
                self._encode(changed, journal)
            logs = self._read_logs(present)
            if changed or deleted or logs or present is None:
                self._publish(present, journal, changed, deleted, logs)
            journal.clear()
            self._write_errors()
        return self.report

    def _base(self) -> Present | None:
        """What the run changes: the present snapshot, nothing for a rebuild."""
        if self.rebuild:
            return None
        self.workspace.require_encoder(self.fingerprint)
        return self.workspace.present()

    def _compare(self, present: Present | None) -> tuple[dict[str, str], set[str]]:
        """(item id → key) of new and changed items, and the ids of items to delete."""
        kept = present.table.keys() if present else {}
        changed: dict[str, str] = {}
        seen: set[str] = set()
        with self.progress.task("Reading the catalog") as task:
            for item in self._items(self.report.flags.append):
                key = self._key(item)
                seen.add(item.item_id)
                if kept.get(item.item_id) != key:
                    changed[item.item_id] = key
                task.advance()
        deleted = set(kept) - seen if self.delete_missing else set()
        self.report.unchanged = len(seen) - len(changed)
        self.report.deleted = len(deleted)
        self.report.items = len(set(kept) | seen) - len(deleted)
        return changed, deleted

    def _encode(self, changed: Mapping[str, str], journal: Journal) -> None:
        """Encode the changed items that the journal does not hold yet."""
        waiting = (item for item in self._items(_ignore) if self._key(item) == changed.get(item.item_id))
        encoder: Encoder | None = None
        cut: Counter[str] = Counter()
        lost: Counter[str] = Counter()
        with self.progress.task("Encoding items", total=len(changed)) as task:
            while chunk := list(islice(waiting, _CHUNK)):
                new = [item for item in chunk if journal.key_of(item.item_id) != changed[item.item_id]]
                self.report.resumed += len(chunk) - len(new)
                task.advance(len(chunk) - len(new))
                if not new:
                    continue
                if encoder is None:
                    settings = self.workspace.settings
                    encoder = load_encoder(settings.models.encoder, settings.encoder, self.progress)
                    to_documents = ItemDocuments(self.prompt, settings.documents, encoder)
                documents = to_documents(new)
                vectors = encoder.encode([document.text for document in documents], kind="item")
                journal.append(rows_of(new, documents, [changed[item.item_id] for item in new], vectors))
                for document in documents:
                    cut.update(document.cut.keys())
                    lost.update(document.cut)
                self.report.encoded += len(new)
                task.advance(len(new))
        self.report.cut = {name: (count, lost[name]) for name, count in cut.most_common()}
        self.report.skipped = sorted(to_documents.skipped) if encoder is not None else []

    def _read_logs(self, present: Present | None) -> dict[str, int]:
        """Stage the logs that were not read before; their digests and numbers of events."""
        events, known = self.workspace.events, present.snapshot.logs if present else {}
        flag = self.report.flags.append
        for path in self.sources.users:
            self.report.users += events.put_users(read_users(path, on_flag=flag))
        new: dict[str, int] = {}
        events.unstage()
        for path in self.sources.interactions:
            digest = self._log_digest(path)
            if digest not in known:
                log = read_interactions(path, mapping=self.sources.event_columns, on_flag=flag)
                new[digest] = events.stage(log, self.progress)
            self.report.events += new.get(digest, known.get(digest, 0))
        self.report.new_events = events.staged_changes() if new else 0
        return new

    def _log_digest(self, path: Path) -> str:
        columns = json.dumps(sorted(self.sources.event_columns.items()))
        return hashlib.sha256((source_digest(path) + columns).encode()).hexdigest()

    def _publish(
        self,
        present: Present | None,
        journal: Journal,
        changed: Mapping[str, str],
        deleted: set[str],
        logs: dict[str, int],
    ) -> None:
        """Write the items, train the channels, and make both visible with the staged events."""
        workspace, settings = self.workspace, self.workspace.settings
        table = present.table if present else None
        if table is None or changed or deleted:
            table = workspace.items.write(
                table,
                lambda: journal.batches(changed),
                changed.keys(),
                deleted,
                self._dimension(present, journal, changed),
                settings.store.index_rows,
            )
        with self.progress.task("Training the channels", unit="steps") as task:
            catalog = Catalog(table, settings.rank.exact_items)
            interactions = interactions_of(workspace.events.pairs(), catalog)
            channels = workspace.channels_folder()
            Ranker.fit(catalog, interactions, settings.rank).save(channels)
            task.advance()
        snapshot = Snapshot(
            table=table.name,
            version=table.version,
            items=len(table),
            encoder=settings.models.encoder,
            encoder_fingerprint=self.fingerprint,
            dimension=table.dimension,
            prompt=self.prompt.identity,
            channels=channels.name,
            files=workspace.checksums(table, channels, present.snapshot.files if present else {}),
            logs=(present.snapshot.logs if present else {}) | logs,
        )
        workspace.events.commit(snapshot.model_dump())
        workspace.collect()

    def _dimension(self, present: Present | None, journal: Journal, changed: Mapping[str, str]) -> int:
        if present is not None:
            return present.snapshot.dimension
        first = next(journal.batches(changed), None)
        if first is None:
            raise WorkspaceError(f"{self.sources.catalog}: holds no item that can be indexed")
        return int(first.schema.field(-1).type.list_size)

    def _items(self, on_flag: Callable[[Flag], None]) -> Iterator[Item]:
        root = self.sources.catalog.parent
        for item in read_items(self.sources.catalog, mapping=self.sources.item_columns, on_flag=on_flag):
            yield _with_safe_media(item, root, on_flag)

    def _key(self, item: Item) -> str:
        digest = self._recipe.copy()
        digest.update(item.content_hash().encode())
        return digest.hexdigest()[:32]

    def _write_errors(self) -> None:
        path = self.workspace.root / ERRORS
        part = path.with_suffix(".part")
        lines = (json.dumps(flag.to_json(), ensure_ascii=False) + "\n" for flag in self.report.flags)
        part.write_text("".join(lines), encoding="utf-8")
        part.replace(path)


def _with_safe_media(item: Item, root: Path, on_flag: Callable[[Flag], None]) -> Item:
    """The item without references that lead out of the catalog's folder; each of them is flagged."""
    kept: dict[str, tuple[str, ...]] = {}
    for name in (Columns.IMAGES, Columns.AUDIO, Columns.VIDEO):
        references: Sequence[str] = getattr(item, name)
        kept[name] = tuple(value for value in references if _is_safe(item, name, value, root, on_flag))
    if all(kept[name] == getattr(item, name) for name in kept):
        return item
    return Item(item.item_id, item.title, item.text, item.categories, attributes=item.attributes, **kept)


def _is_safe(item: Item, name: str, value: str, root: Path, on_flag: Callable[[Flag], None]) -> bool:
    if is_url(value):
        return True  # nothing is fetched here
    try:
        resolve_media(root, value)
    except MediaRefusedError as error:
        on_flag(Flag(item.item_id, name, value, error.message))
        return False
    return True


def _ignore(flag: Flag) -> None:
    """The second reading of a catalog finds what the first one flagged."""


@contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        if "No space left" not in str(error) and "File too large" not in str(error):
            raise
        raise WorkspaceError(
            f"{root}: the disk is full; the previous index is intact",
            "Free some space and run the same command again: it continues where it stopped.",
        ) from error
