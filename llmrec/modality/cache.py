"""What models said of media, kept by content and task, so that nothing is computed twice.

SQLite rather than Arrow files: entries are looked up one by one, written in small transactions while a run
goes on, read by other runs at the same time, and deleted.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llmrec.errors import CorruptFileError
from llmrec.schema import TextPiece, parse_pieces, pieces_json

_BUSY = 60.0
"""Seconds to wait for another process that writes."""

_SETTLED = 2_000_000_000
"""Nanoseconds that a file must have been left alone before its time stamp is trusted to tell a change."""

_TABLES = """
CREATE TABLE IF NOT EXISTS results (
    content TEXT NOT NULL, task TEXT NOT NULL, pieces TEXT NOT NULL, error TEXT NOT NULL,
    digest TEXT NOT NULL, used REAL NOT NULL, PRIMARY KEY (content, task)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime INTEGER NOT NULL, content TEXT NOT NULL,
    hashed INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What a task made of one content.

    Args:
        content: identity of the bytes.
        task: identity of the model and its settings; see :class:`~llmrec.modality.tasks.Task`.
        pieces: the text, without the names of files.
        error: why there is none; empty where the task was done.
    """

    content: str
    task: str
    pieces: tuple[TextPiece, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class CacheStats:
    """``results`` and ``failures`` by kind of task, remembered ``files``, and ``size`` in bytes."""

    path: Path
    results: dict[str, int]
    failures: dict[str, int]
    files: int
    size: int


class MediaCache:
    """One cache file, shared by threads and processes.

    Args:
        path: the file; made where there is none.

    Raises:
        CorruptFileError: it is damaged. An entry that is, is as if it were not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._named():
            self._db = sqlite3.connect(path, timeout=_BUSY, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def get(self, content: str, tasks: Collection[str]) -> dict[str, Result]:
        """The results known of a content, by task."""
        with self._named():
            rows = self._db.execute(
                "SELECT task, pieces, error, digest FROM results WHERE content = ?", (content,)
            ).fetchall()
        return {
            task: Result(content, task, parse_pieces(pieces), error)
            for task, pieces, error, digest in rows
            if task in tasks and digest == _digest(content, task, pieces, error)
        }

    def put(self, results: Iterable[Result]) -> None:
        """Keep results; when this returns they survive a kill."""
        now = time.time()
        rows = []
        for result in results:
            pieces = pieces_json(result.pieces)
            digest = _digest(result.content, result.task, pieces, result.error)
            rows.append((result.content, result.task, pieces, result.error, digest, now))
        with self._named(), self._db:
            self._db.executemany("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?)", rows)

    def failures(self) -> dict[tuple[str, str], str]:
        """(content, task) → reason of everything that could not be done."""
        with self._named():
            rows = self._db.execute("SELECT content, task, error FROM results WHERE error != ''").fetchall()
        return {(content, task): error for content, task, error in rows}

    def forget_failures(self) -> int:
        """Drop them, so that they are tried again; how many there were."""
        with self._named(), self._db:
            return self._db.execute("DELETE FROM results WHERE error != ''").rowcount

    def content_of(self, path: str, size: int, mtime: int) -> str | None:
        """The content of a file that was hashed before and not changed since (size, time in ns).

        A file that was hashed right after a change may have changed again within one tick of its clock.
        """
        with self._named():
            row = self._db.execute(
                "SELECT content FROM files WHERE path = ? AND size = ? AND mtime = ? AND hashed > ?",
                (path, size, mtime, mtime + _SETTLED),
            ).fetchone()
        return row[0] if row else None

    def remember(self, files: Sequence[tuple[str, int, int, str]]) -> None:
        """Keep the contents of files that were just hashed: (path, size, mtime in ns, content)."""
        now = time.time_ns()
        rows = [(*file, now) for file in files]
        with self._named(), self._db:
            self._db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)

    def stats(self) -> CacheStats:
        """How much is kept."""
        query = (
            "SELECT substr(task, 1, instr(task, ':') - 1), count(*) FROM results WHERE error {} '' GROUP BY 1"
        )
        with self._named():
            results = dict(self._db.execute(query.format("=")).fetchall())
            failures = dict(self._db.execute(query.format("!=")).fetchall())
            files = self._db.execute("SELECT count(*) FROM files").fetchone()[0]
        sizes = [self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal")]
        size = sum(path.stat().st_size for path in sizes if path.exists())
        return CacheStats(self.path, results, failures, files, size)

    def prune_tasks(self, keep: Collection[str], spare: Collection[str] = ()) -> int:
        """Drop results of other tasks, and of files that are gone or changed; how many results went.

        Args:
            keep: keys of tasks.
            spare: kinds of task of which no result is dropped for being another task's.
        """
        with self._named(), self._db:
            gone = [(path,) for path, size, mtime in self._files() if not _is_same(path, size, mtime)]
            self._db.executemany("DELETE FROM files WHERE path = ?", gone)
            tasks = [task for (task,) in self._db.execute("SELECT DISTINCT task FROM results").fetchall()]
            others = [(task,) for task in tasks if task not in keep and task.partition(":")[0] not in spare]
            before = self._db.total_changes
            self._db.executemany("DELETE FROM results WHERE task = ?", others)
            self._db.execute(
                "DELETE FROM results WHERE content NOT LIKE 'url:%' "
                "AND content NOT IN (SELECT content FROM files)"
            )
            dropped = self._db.total_changes - before
        self._shrink()
        return dropped

    def prune_older(self, days: float) -> int:
        """Drop results that were neither made nor used for so many days; how many."""
        with self._named(), self._db:
            before = time.time() - days * 86_400
            dropped = self._db.execute("DELETE FROM results WHERE used < ?", (before,)).rowcount
        self._shrink()
        return dropped

    def touch(self, content: str) -> None:
        """Note that the results of a content were used."""
        with self._named(), self._db:
            self._db.execute("UPDATE results SET used = ? WHERE content = ?", (time.time(), content))

    def _files(self) -> list[tuple[str, int, int]]:
        return self._db.execute("SELECT path, size, mtime FROM files").fetchall()

    def _shrink(self) -> None:
        with self._named():
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _named(self) -> Iterator[None]:
        """One thread at a time; a damaged file is named."""
        with self._lock:
            try:
                yield
            except sqlite3.OperationalError:
                raise  # a full disk, a folder that cannot be written: not damage
            except sqlite3.DatabaseError as error:
                raise CorruptFileError(
                    f"{self.path}: the cache of media texts is damaged: {error}",
                    "Delete it: what it held is computed again.",
                ) from error


class LayeredCache:
    """The workspace's cache, with the one that all workspaces share behind it.

    Failures stay in the workspace: they may be due to a codec that is missing here today.
    """

    def __init__(self, own: MediaCache, shared: MediaCache) -> None:
        self.own = own
        self.shared = shared

    def close(self) -> None:
        """Close both."""
        self.own.close()
        self.shared.close()

    def get(self, content: str, tasks: Collection[str]) -> dict[str, Result]:
        """The results known of a content, by task; what only the shared cache knew is copied."""
        found = self.own.get(content, tasks)
        if wanted := set(tasks) - set(found):
            taken = self.shared.get(content, wanted)
            if taken:
                self.own.put(taken.values())
                self.shared.touch(content)
                found |= taken
        return found

    def put(self, results: Sequence[Result]) -> None:
        """Keep results in both."""
        self.own.put(results)
        self.shared.put([result for result in results if not result.error])


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]


def _is_same(path: str, size: int, mtime: int) -> bool:
    try:
        found = Path(path).stat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (size, mtime)
