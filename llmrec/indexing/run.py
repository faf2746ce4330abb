"""The index run: a catalog and its logs become a new snapshot of a workspace.

Read → compare with what is there → turn media of what changed into text → encode it into the journal → write
the items → train the channels → commit. Only the last step is visible to readers. A run that is killed
anywhere leaves the old snapshot, and a journal from which the next run continues.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from llmrec.config import FORMAT
from llmrec.errors import WorkspaceError
from llmrec.indexing.publish import publish
from llmrec.indexing.report import IndexReport, Sources, write_errors
from llmrec.indexing.steps import ItemEncoding, chunks, disk_errors, keyed, with_failures
from llmrec.modality.cache import LayeredCache
from llmrec.modality.files import MediaFiles, Reference
from llmrec.modality.load import Modalities
from llmrec.modality.pipeline import MediaText
from llmrec.progress import NoProgress, Progress, Task
from llmrec.prompts import caption_prompt, load_prompt
from llmrec.rank.ranker import Ranker
from llmrec.readers import read_interactions, read_items, read_users, source_digest
from llmrec.schema import Flag, Item
from llmrec.store.journal import Journal
from llmrec.store.rows import VECTOR, rows_of
from llmrec.workspace import Present, Workspace


class IndexRun:
    """One run over a workspace.

    Args:
        workspace: where to.
        sources: what to index.
        rebuild: begin anew beside the present items, and swap at the end.
        delete_missing: remove items that the catalog no longer has.
        retry_failed: open again the media that could not be read before.
        allow_hosts: hosts from which media may be downloaded, beside those of the settings.
        progress: where to show what is done.
    """

    def __init__(
        self,
        workspace: Workspace,
        sources: Sources,
        *,
        rebuild: bool = False,
        delete_missing: bool = False,
        retry_failed: bool = False,
        allow_hosts: Sequence[str] = (),
        progress: Progress = NoProgress(),
    ) -> None:
        self.workspace = workspace
        self.sources = sources
        self.rebuild = rebuild
        self.delete_missing = delete_missing
        self.retry_failed = retry_failed
        self.progress = progress
        self.report = IndexReport()
        self._files: Counter[str] = Counter()
        """Files of changed items for each kind of task."""
        settings = workspace.settings
        hosts = (*settings.media.allow_hosts, *allow_hosts)
        self._media_settings = settings.media.model_copy(update={"allow_hosts": hosts})
        self.prompt = load_prompt(settings.documents.item_prompt, workspace.root / "prompts")
        recipe = [FORMAT, self.prompt.identity, settings.documents.model_dump_json()]
        self._recipe = hashlib.sha256(json.dumps(recipe).encode())

    def __call__(self) -> IndexReport:
        """Run.

        Raises:
            ReaderError: a source cannot be read at all.
            WorkspaceError: another run is writing, the disk is full, or the present items were encoded by
                another model and ``rebuild`` was not asked for.
        """
        with (
            self.workspace.lock(),
            disk_errors(self.workspace.root),
            closing(self.workspace.media_cache()) as cache,
        ):
            present = self._base()
            if self.retry_failed:
                cache.own.forget_failures()
            self.media = self._media_text(cache)
            journal = self.workspace.journal("rebuild" if self.rebuild else "update")
            changed, deleted = self._compare(present, journal)
            if changed:
                self._encode(changed, journal)
            logs = self._read_logs(present)
            if changed or deleted or logs or not self._trained(present):
                self._publish(present, journal, changed, deleted, logs)
            journal.clear()
            self.report.media, self.report.missing = self.media.report, self.media.modalities.missing
            write_errors(self.report.flags, self.workspace.root)
        return self.report

    def _trained(self, present: Present | None) -> bool:
        """Whether there are channels, trained by the settings as they are now."""
        return present is not None and Ranker.trained_by(present.channels, self.workspace.settings.rank)

    def _base(self) -> Present | None:
        """What the run changes: the present snapshot, nothing for a rebuild."""
        workspace, snapshot = self.workspace, self.workspace.snapshot()
        if self.rebuild:
            self.encoding = workspace.encoding(workspace.adapter_of(snapshot))
            return None
        self.encoding = workspace.require_encoder(snapshot)
        return workspace.present()

    def _media_text(self, cache: LayeredCache) -> MediaText:
        settings, catalog = self.workspace.settings, self.sources.catalog
        prompt = caption_prompt(settings.caption.prompt, self.workspace.root / "prompts")
        root = catalog if catalog.is_dir() else catalog.parent
        return MediaText(
            MediaFiles(root, self._media_settings, cache.own),
            Modalities(settings, prompt, self.progress),
            cache,
            settings,
            self.progress,
        )

    def _compare(self, present: Present | None, journal: Journal) -> tuple[dict[str, str], set[str]]:
        """(item id → key) of new and changed items, and the ids of items to delete."""
        kept = present.table.keys() if present else {}
        changed: dict[str, str] = {}
        seen: set[str] = set()
        with self.progress.task("Reading the catalog") as task:
            for item in self._items(self.report.flags.append):
                references = self.media.files.of(item)
                key = self._key(item, references)
                self.report.flags += (failures := self.media.failures(item, references))
                seen.add(item.item_id)
                final = with_failures(key, failures)
                if kept.get(item.item_id) != final:
                    changed[item.item_id] = key
                    if journal.key_of(item.item_id) != final:
                        self._files += self.media.count(item, references)
                task.advance()
        self.media.files.flush()
        deleted = set(kept) - seen if self.delete_missing else set()
        self.report.unchanged = len(seen) - len(changed)
        self.report.deleted = len(deleted)
        self.report.items = len(set(kept) | seen) - len(deleted)
        return changed, deleted

    def _encode(self, changed: Mapping[str, str], journal: Journal) -> None:
        """Describe and encode the changed items that the journal does not hold yet."""
        encode: ItemEncoding | None = None
        cut: Counter[str] = Counter()
        lost: Counter[str] = Counter()
        known = set(self.report.flags)
        with (
            self.progress.task("Encoding items", total=len(changed)) as task,
            closing(self.media(self._waiting(changed, journal, task), self._files)) as described,
        ):
            for chunk in chunks(described):
                encode = encode or ItemEncoding(self.workspace, self.prompt, self.encoding, self.progress)
                items = [item for item, _ in chunk]
                documents, vectors, by_modality = encode(items)
                keys = [with_failures(changed[item.item_id], failures) for item, failures in chunk]
                journal.append(rows_of(items, documents, keys, vectors, by_modality))
                self.report.flags += [flag for _, flags in chunk for flag in flags if flag not in known]
                for document in documents:
                    cut.update(document.cut.keys())
                    lost.update(document.cut)
                self.report.encoded += len(items)
                task.advance(len(items))
        self.report.cut = {name: (count, lost[name]) for name, count in cut.most_common()}
        self.report.skipped = sorted(encode.documents.skipped) if encode else []

    def _waiting(self, changed: Mapping[str, str], journal: Journal, task: Task) -> Iterator[Item]:
        """The changed items that are not in the journal."""
        for item in self._items(_ignore):
            if item.item_id not in changed:
                continue
            references = self.media.files.of(item)
            key = self._key(item, references)
            if key != changed[item.item_id]:
                continue  # it changed since the comparison: for the next run
            if journal.key_of(item.item_id) == with_failures(key, self.media.failures(item, references)):
                self.report.resumed += 1
                task.advance()
                continue
            yield item

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
        publish(workspace, table, present, self.encoding, self.prompt.identity, logs, self.progress)

    def _dimension(self, present: Present | None, journal: Journal, changed: Mapping[str, str]) -> int:
        if present is not None:
            return present.snapshot.dimension
        first = next(journal.batches(changed), None)
        if first is None:
            raise WorkspaceError(f"{self.sources.catalog}: holds no item that can be indexed")
        return int(first.schema.field(VECTOR).type.list_size)

    def _items(self, on_flag: Callable[[Flag], None]) -> Iterator[Item]:
        return read_items(self.sources.catalog, mapping=self.sources.item_columns, on_flag=on_flag)

    def _key(self, item: Item, references: Sequence[Reference]) -> str:
        """The key of an item's row, but for media that could not be read."""
        digest = self._recipe.copy()
        digest.update(item.content_hash().encode())
        digest.update(self.media.identity(item, references).encode())
        return keyed(digest.hexdigest()[:32], self.encoding.fingerprint)


def _ignore(flag: Flag) -> None:
    """The second reading of a catalog finds what the first one flagged."""
