"""The event store: interactions, users, and which snapshot of the items is the present one.

SQLAlchemy Core over SQLite (write-ahead log) or PostgreSQL. A log is staged first and becomes visible in the
same transaction as the snapshot that was trained on it, so readers see the old state or the new one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from llmrec.errors import CorruptFileError, RequestError, WorkspaceError
from llmrec.progress import NoProgress, Progress
from llmrec.schema import Interaction, User, tie
from llmrec.store.tables import (
    events as _events,
    explanations as _explanations,
    metadata,
    snapshots as _snapshots,
    staged as _staged,
    users as _users,
)

_BATCH = 10_000


class EventStore:
    """Events and users of a workspace.

    Args:
        url: a SQLAlchemy URL; ``sqlite:///path`` or ``postgresql+psycopg://...``.

    Raises:
        CorruptFileError: the SQLite file is damaged or not a database.
        WorkspaceError: the database cannot be reached, or its disk is full.
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = sa.create_engine(url)
        except (SQLAlchemyError, ImportError) as error:
            # The URL may hold a password: it is not part of the message.
            raise WorkspaceError(f"[store] events in llmrec.toml: {error}") from error
        self.name = self._engine.url.database or url
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
        with self._errors():
            metadata.create_all(self._engine)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    # Reading

    def history(self, user_id: str) -> list[Interaction]:
        """Events of a user, newest first; equal times by :func:`llmrec.schema.tie`."""
        query = sa.select(_events).where(_events.c.user_id == user_id)
        with self._reading() as connection:
            events = [Interaction(*row) for row in connection.execute(query)]
        return sorted(events, key=lambda event: (event.timestamp, tie(user_id, event.item_id)), reverse=True)

    def user(self, user_id: str) -> User | None:
        """What is known of a user, None where the user table does not have them."""
        query = sa.select(_users.c.profile).where(_users.c.user_id == user_id)
        with self._reading() as connection:
            profile = connection.execute(query).scalar_one_or_none()
        return None if profile is None else User(user_id, self._parsed(profile, _users))

    def counts(self) -> dict[str, int]:
        """Numbers of events and of users with an event."""
        query = sa.select(sa.func.count(), sa.func.count(sa.distinct(_events.c.user_id))).select_from(_events)
        with self._reading() as connection:
            events, users = connection.execute(query).one()
        return {"events": events, "users": users}

    def user_ids(self, limit: int) -> list[str]:
        """Some users with events, in order of their ids."""
        query = sa.select(_events.c.user_id).distinct().order_by(_events.c.user_id).limit(limit)
        with self._reading() as connection:
            return list(connection.execute(query).scalars())

    def sharing(self, items: Sequence[str], without: str | None, limit: int) -> list[str]:
        """Users but ``without`` with an event with any of ``items``, those with the most of them first."""
        shared = sa.func.count(sa.distinct(_events.c.item_id))
        query = sa.select(_events.c.user_id).where(_events.c.item_id.in_(items))
        if without is not None:
            query = query.where(_events.c.user_id != without)
        query = query.group_by(_events.c.user_id).order_by(shared.desc(), _events.c.user_id).limit(limit)
        with self._reading() as connection:
            return list(connection.execute(query).scalars())

    def together(self, item_id: str, others: Sequence[str]) -> dict[str, int]:
        """Number of users with an event with both ``item_id`` and another item, for each of ``others``."""
        own = sa.select(_events.c.user_id).where(_events.c.item_id == item_id)
        users = sa.func.count(sa.distinct(_events.c.user_id)).label("users")
        query = sa.select(_events.c.item_id, users).group_by(_events.c.item_id)
        query = query.where(_events.c.item_id.in_(others), _events.c.user_id.in_(own))
        with self._reading() as connection:
            found = {row.item_id: int(row.users) for row in connection.execute(query)}
        return {other: found.get(other, 0) for other in others}

    def choices(self, users: Sequence[str]) -> Iterator[tuple[str, str]]:
        """(user, item) of whatever ``users`` have an event with, once each, one user after the other."""
        query = sa.select(_events.c.user_id, _events.c.item_id).distinct()
        query = query.where(_events.c.user_id.in_(users)).order_by(_events.c.user_id)
        with self._reading() as connection:
            for row in connection.execution_options(yield_per=_BATCH).execute(query):
                yield tuple(row)

    def popularity(self) -> dict[str, int]:
        """Number of users with an event, by item."""
        users = sa.func.count(sa.distinct(_events.c.user_id)).label("users")
        query = sa.select(_events.c.item_id, users).group_by(_events.c.item_id)
        with self._reading() as connection:
            return {row.item_id: int(row.users) for row in connection.execute(query)}

    def log(self) -> Iterator[tuple[str, str, float, float]]:
        """(user, item, timestamp, weight) of every event, staged ones included, in no particular order."""
        same = sa.and_(*(_events.c[name] == _staged.c[name] for name in ("user_id", "item_id", "timestamp")))
        kept = sa.select(_events).where(~sa.exists().where(same))
        both = sa.union_all(sa.select(_staged), kept).subquery()
        query = sa.select(both.c.user_id, both.c.item_id, both.c.timestamp, both.c.weight)
        with self._reading() as connection:
            for row in connection.execution_options(yield_per=_BATCH).execute(query):
                yield tuple(row)

    def snapshot(self) -> dict[str, Any] | None:
        """The present snapshot, None before the first ``index``."""
        return next(iter(self.snapshots(1)), None)

    def snapshots(self, count: int) -> list[dict[str, Any]]:
        """The newest snapshots, the present one first."""
        query = sa.select(_snapshots.c.content).order_by(_snapshots.c.id.desc()).limit(count)
        with self._reading() as connection:
            return [self._parsed(content, _snapshots) for content in connection.execute(query).scalars()]

    # Writing

    def add(self, interactions: Iterable[Interaction]) -> None:
        """Insert or update events at once; the next recommendation knows them."""
        with self._writing() as connection:
            for batch in _batches(interactions):
                self._upsert(connection, _events, [_event_row(event) for event in batch])

    def delete(self, *, user_id: str | None = None, item_id: str | None = None) -> int:
        """Delete the events of a user, of an item, or of one with the other; the number deleted."""
        conditions = [
            _events.c[name] == value
            for name, value in (("user_id", user_id), ("item_id", item_id))
            if value is not None
        ]
        if not conditions:
            raise ValueError("name a user_id or an item_id")
        with self._writing() as connection:
            return connection.execute(sa.delete(_events).where(*conditions)).rowcount

    def put_users(self, users: Iterable[User]) -> int:
        """Insert or replace users; the number written."""
        written = 0
        with self._writing() as connection:
            for batch in _batches(users):
                rows = [
                    {"user_id": user.user_id, "profile": json.dumps(dict(user.profile))} for user in batch
                ]
                self._upsert(connection, _users, rows)
                written += len(batch)
        return written

    def unstage(self) -> None:
        """Forget staged events, such as those that an unfinished run left."""
        with self._writing() as connection:
            connection.execute(sa.delete(_staged))

    def stage(self, interactions: Iterable[Interaction], progress: Progress = NoProgress()) -> int:
        """Add events to the staging table; the number read."""
        read = 0
        with progress.task("Reading the log", unit="events") as task:
            for batch in _batches(interactions):
                # A transaction each: reading a long log must not keep others from writing.
                with self._writing() as connection:
                    self._upsert(connection, _staged, [_event_row(event) for event in batch])
                read += len(batch)
                task.advance(len(batch))
        return read

    def staged_changes(self) -> int:
        """Staged events that are new or have another weight or text than the stored one."""
        same = sa.and_(*(_events.c[column.name] == column for column in _staged.c))
        query = sa.select(sa.func.count()).select_from(_staged).where(~sa.exists().where(same))
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    def commit(self, snapshot: dict[str, Any]) -> None:
        """Make the staged events and a new snapshot visible, both or neither."""
        with self._writing() as connection:
            staged = sa.select(_staged).where(sa.true())
            insert = self._insert(_events).from_select([column.name for column in _events.c], staged)
            connection.execute(self._or_update(insert, _events))
            connection.execute(sa.delete(_staged))
            row = {"created": time.time(), "content": json.dumps(snapshot)}
            connection.execute(sa.insert(_snapshots).values(row))

    def explanations(self) -> MutableMapping[str, str]:
        """Explanations written before, by key; kept in this database."""
        return _KeptText(self)

    def check(self) -> list[str]:
        """Problems that the database finds in itself; empty when there are none."""
        if self._engine.dialect.name != "sqlite":
            return []
        with self._reading() as connection:
            found = list(connection.execute(sa.text("PRAGMA quick_check")).scalars())
        return [] if found == ["ok"] else found

    def _parsed(self, text: str, table: sa.Table) -> dict[str, Any]:
        try:
            return dict(json.loads(text))
        except (ValueError, TypeError) as error:
            raise self._damaged(f"a record of {table.name} cannot be read") from error

    def _damaged(self, reason: str) -> CorruptFileError:
        return CorruptFileError(
            f"{self.name}: damaged: {reason}", "Restore it from a backup, or index into a new workspace."
        )

    def _insert(self, table: sa.Table) -> Any:
        return (sqlite if self._engine.dialect.name == "sqlite" else postgresql).insert(table)

    def _or_update(self, insert: Any, table: sa.Table) -> Any:
        values = {column.name: insert.excluded[column.name] for column in table.c if not column.primary_key}
        return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)

    def _upsert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            connection.execute(self._or_update(self._insert(table), table), rows)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError as error:
            raise RequestError(f"{error.object[:80]!r}: text that is not valid Unicode") from error
        except DatabaseError as error:
            reason = str(error.orig)
            if "malformed" in reason or "not a database" in reason or "disk I/O" in reason:
                raise self._damaged(reason) from error
            hint = "Free some space and run it again." if "full" in reason else None
            raise WorkspaceError(f"{self.name}: {reason}", hint) from error


class _KeptText(MutableMapping[str, str]):
    def __init__(self, store: EventStore) -> None:
        self._store = store

    def __getitem__(self, key: str) -> str:
        with self._store._reading() as connection:
            found = connection.execute(sa.select(_explanations.c.value).where(_explanations.c.key == key))
            value = found.scalar_one_or_none()
        if value is None:
            raise KeyError(key)
        return str(value)

    def __setitem__(self, key: str, value: str) -> None:
        with self._store._writing() as connection:
            self._store._upsert(connection, _explanations, [{"key": key, "value": value}])

    def __delitem__(self, key: str) -> None:
        with self._store._writing() as connection:
            if not connection.execute(sa.delete(_explanations).where(_explanations.c.key == key)).rowcount:
                raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        with self._store._reading() as connection:
            yield from connection.execute(sa.select(_explanations.c.key)).scalars()

    def __len__(self) -> int:
        with self._store._reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(_explanations)).scalar_one())


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return sa.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=30000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _event_row(event: Interaction) -> dict[str, Any]:
    return {
        "user_id": event.user_id,
        "item_id": event.item_id,
        "timestamp": event.timestamp,
        "weight": event.weight,
        "text": event.text,
    }


def _batches(values: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(values)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
