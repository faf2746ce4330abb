"""The event store: what is staged is invisible, what is committed is whole, and other processes may write."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from llmrec.errors import CorruptFileError, RequestError, WorkspaceError
from llmrec.schema import Interaction, User
from llmrec.store import events as events_module
from llmrec.store.events import EventStore, sqlite_url
from llmrec.store.tables import metadata


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def store(path: Path) -> Iterator[EventStore]:
    opened = EventStore(sqlite_url(path))
    yield opened
    opened.close()


def event(user: str, item: str, at: float, weight: float = 1.0, text: str = "") -> Interaction:
    return Interaction(user, item, at, weight, text)


# Events


def test_history_is_newest_first_and_ties_go_by_their_hash(store: EventStore) -> None:
    log = [
        event("u", "b", 5),
        event("u", "c", 9.5),
        event("u", "a", 5),
        event("v", "z", 7),
        event("u", "b", 2),
    ]
    store.add(log)
    # SHA-1 of "u|a" begins with 34, of "u|b" with 56.
    assert store.history("u") == [log[1], log[0], log[2], log[4]]
    assert store.history("nobody") == []


def test_users_who_share_items_come_by_how_many_they_share(store: EventStore) -> None:
    pairs = ["ua", "ub", "uc", "va", "vb", "vz", "wa", "wc", "xa", "yz"]
    store.add([event(user, item, at) for user, item in pairs for at in (1, 2)])
    assert store.sharing(["a", "b", "c"], "u", 9) == ["v", "w", "x"]
    assert store.sharing(["a", "b", "c"], None, 2) == ["u", "v"]
    assert store.sharing(["b", "c"], "nobody", 9) == ["u", "v", "w"]
    assert store.sharing([], "u", 9) == store.sharing(["unknown"], None, 9) == []
    assert sorted(store.choices(["v", "x", "nobody"])) == [("v", "a"), ("v", "b"), ("v", "z"), ("x", "a")]
    assert store.popularity() == {"a": 4, "b": 2, "c": 2, "z": 2}
    assert store.together("a", ["b", "c", "z", "unknown"]) == {"b": 2, "c": 2, "z": 1, "unknown": 0}
    assert store.together("unknown", ["a"]) == {"a": 0}


def test_users_of_an_item_are_found_by_an_index(path: Path, store: EventStore) -> None:
    store.add([event("u", "a", 1)])
    with sqlite3.connect(path) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT user_id, COUNT(DISTINCT item_id) FROM events "
            "WHERE item_id IN ('a', 'b') GROUP BY user_id"
        ).fetchall()
    assert any("COVERING INDEX events_by_item" in step[-1] for step in plan), plan


def test_everything_of_an_event_comes_back(store: EventStore) -> None:
    odd = event("o'neil; --", '日本 "q" %_', 1234567890.123456, 0.5, "great\n'film'")
    store.add([odd])
    assert store.history(odd.user_id) == [odd]


def test_the_same_event_again_replaces_weight_and_text(store: EventStore) -> None:
    store.add([event("u", "a", 1, 3.0, "good")])
    store.add([event("u", "a", 1, 4.0, "better"), event("u", "a", 2)])
    assert store.history("u") == [event("u", "a", 2), event("u", "a", 1, 4.0, "better")]
    assert store.counts() == {"events": 2, "users": 1}


def test_an_event_twice_in_one_call_keeps_the_last(store: EventStore) -> None:
    store.add([event("u", "a", 1, 3.0), event("u", "a", 1, 4.0)])
    assert store.history("u") == [event("u", "a", 1, 4.0)]


def test_delete_by_user_item_or_both(store: EventStore) -> None:
    store.add([event(user, item, at) for user in "uvw" for item in "ab" for at in (1, 2)])
    assert store.delete(user_id="u", item_id="a") == 2
    assert store.delete(user_id="v") == 4
    assert store.delete(item_id="b") == 4
    assert store.delete(user_id="nobody") == 0
    assert sorted(store.log()) == [("w", "a", 1.0, 1.0), ("w", "a", 2.0, 1.0)]
    with pytest.raises(ValueError, match="name a user_id or an item_id"):
        store.delete()


def test_user_ids_in_order(store: EventStore) -> None:
    store.add([event(user, item, 1) for user in "cab" for item in "xy"])
    assert store.user_ids(2) == ["a", "b"]
    assert store.user_ids(10) == ["a", "b", "c"]


def test_more_events_than_a_batch(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "_BATCH", 7)
    assert store.stage(event(f"u{n % 5}", f"i{n}", n) for n in range(50)) == 50
    store.add(event("v", f"i{n}", n) for n in range(15))
    assert store.counts() == {"events": 15, "users": 1}
    assert len(list(store.log())) == 65


# Staging


def test_staged_events_are_invisible_until_the_commit(store: EventStore, path: Path) -> None:
    store.add([event("u", "a", 1, 1.0), event("u", "b", 2)])
    assert store.stage([event("u", "a", 1, 5.0), event("v", "c", 3)]) == 2
    other = EventStore(sqlite_url(path))
    for reader in (store, other):
        assert reader.history("u") == [event("u", "b", 2), event("u", "a", 1, 1.0)]
        assert reader.history("v") == []
        assert reader.counts() == {"events": 2, "users": 1}
        assert reader.snapshot() is None
    store.commit({"table": "items-0001"})
    for reader in (store, other):
        assert reader.history("u") == [event("u", "b", 2), event("u", "a", 1, 5.0)]
        assert reader.history("v") == [event("v", "c", 3)]
        assert reader.snapshot() == {"table": "items-0001"}
        assert reader.staged_changes() == 0
    other.close()


def test_training_reads_staged_and_stored_events_once_each(store: EventStore) -> None:
    store.add([event("u", "a", 1), event("u", "b", 2), event("v", "a", 3)])
    store.stage([event("u", "a", 1, 9.0), event("w", "c", 4), event("u", "a", 7)])
    assert sorted(store.log()) == [
        ("u", "a", 1.0, 9.0),
        ("u", "a", 7.0, 1.0),
        ("u", "b", 2.0, 1.0),
        ("v", "a", 3.0, 1.0),
        ("w", "c", 4.0, 1.0),
    ]


def test_staged_changes_counts_new_and_different_events(store: EventStore) -> None:
    store.add([event("u", "same", 1, 2.0, "x"), event("u", "weight", 1), event("u", "text", 1)])
    store.stage(
        [
            event("u", "same", 1, 2.0, "x"),
            event("u", "weight", 1, 2.0),
            event("u", "text", 1, 1.0, "new"),
            event("u", "new", 1),
        ]
    )
    assert store.staged_changes() == 3


def test_unstage_forgets_what_an_unfinished_run_left(store: EventStore, path: Path) -> None:
    store.stage([event("u", "a", 1)])
    store.close()
    later = EventStore(sqlite_url(path))
    assert later.staged_changes() == 1
    later.unstage()
    later.commit({})
    assert later.history("u") == []
    later.close()


def test_a_commit_that_fails_changes_nothing(store: EventStore) -> None:
    store.commit({"table": "old"})
    store.stage([event("u", "a", 1)])
    with pytest.raises(TypeError, match="not JSON serializable"):
        store.commit({"table": object()})
    assert store.snapshot() == {"table": "old"}
    assert store.history("u") == []
    assert store.staged_changes() == 1


def test_an_add_that_fails_half_way_adds_nothing(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "_BATCH", 2)

    def broken() -> Iterator[Interaction]:
        for number in range(5):
            yield event("u", f"i{number}", number)
        raise OSError("the log ends here")

    with pytest.raises(OSError, match="the log ends here"):
        store.add(broken())
    assert store.history("u") == []


def test_others_may_write_while_a_log_is_staged(
    store: EventStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A long log takes minutes to read; feedback must not wait for it.
    monkeypatch.setattr(events_module, "_BATCH", 10)
    other = sqlite3.connect(path, timeout=0.1)

    def log() -> Iterator[Interaction]:
        for number in range(35):
            if number == 25:
                other.execute("INSERT INTO events VALUES ('live', 'x', 1, 1, '')")
                other.commit()
            yield event("u", f"i{number}", number)

    assert store.stage(log()) == 35
    other.close()
    assert store.counts() == {"events": 1, "users": 1}
    assert len(list(store.log())) == 36


def test_snapshots_newest_first(store: EventStore) -> None:
    assert (store.snapshot(), store.snapshots(3)) == (None, [])
    for number in range(4):
        store.commit({"version": number})
    assert store.snapshot() == {"version": 3}
    assert store.snapshots(2) == [{"version": 3}, {"version": 2}]


# Users and explanations


def test_users(store: EventStore) -> None:
    profile = {"age": 31, "city": "Århus", "tags": ["a", "b"], "vip": True, "rate": 0.5}
    assert store.put_users([User("u", profile), User("v")]) == 2
    assert store.user("u") == User("u", profile)
    assert store.user("v") == User("v")
    assert store.user("w") is None
    assert store.put_users([User("u", {"age": 32})]) == 1
    assert store.user("u") == User("u", {"age": 32})
    assert store.put_users([]) == 0


def test_explanations_are_a_mapping_that_lasts(store: EventStore, path: Path) -> None:
    kept = store.explanations()
    assert (len(kept), list(kept), "k" in kept) == (0, [], False)
    kept["k"] = "one"
    kept["k"] = "two"
    kept["j"] = "ünï"
    again = EventStore(sqlite_url(path))
    assert dict(again.explanations()) == {"k": "two", "j": "ünï"}
    again.close()
    del kept["k"]
    assert dict(kept) == {"j": "ünï"}
    with pytest.raises(KeyError):
        kept["k"]
    with pytest.raises(KeyError):
        del kept["k"]


# Other processes


def test_another_process_writes_at_the_same_time(store: EventStore, path: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        from llmrec.schema import Interaction
        from llmrec.store.events import EventStore, sqlite_url
        store = EventStore(sqlite_url(Path(sys.argv[1])))
        print("ready", flush=True)
        for number in range(60):
            store.add([Interaction("theirs", f"i{number}", number)])
        store.close()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        for number in range(60):
            store.add([event("ours", f"i{number}", number)])
            store.history("theirs")
        errors = process.stderr.read()
        assert process.wait(timeout=60) == 0, errors
    assert store.counts() == {"events": 120, "users": 2}
    assert store.check() == []


def test_a_reader_sees_all_or_nothing_of_a_commit(store: EventStore, path: Path) -> None:
    reader = EventStore(sqlite_url(path))
    store.stage(event(f"u{n}", "i", n) for n in range(1000))
    assert reader.counts()["events"] == 0
    store.commit({"version": 1})
    assert reader.counts()["events"] == 1000
    reader.close()


# Damage and other trouble


@pytest.mark.parametrize("keep", [50, 500, 5000, 20_000])
def test_a_truncated_file_is_named(path: Path, keep: int) -> None:
    store = EventStore(sqlite_url(path))
    store.add(event(f"u{n}", f"i{n}", n, text="x" * 50) for n in range(500))
    store.close()
    content = path.read_bytes()
    assert len(content) > 40_000
    path.write_bytes(content[:keep])
    with pytest.raises(CorruptFileError, match=rf"{path}: damaged: ") as caught:
        list(EventStore(sqlite_url(path)).log())
    assert "Restore it from a backup" in str(caught.value)


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.write_bytes(b"user_id,item_id,timestamp\n" * 1000)
    with pytest.raises(CorruptFileError, match=rf"{path}: damaged: file is not a database"):
        EventStore(sqlite_url(path))


def test_a_damaged_page_is_found(store: EventStore, path: Path) -> None:
    store.add(event(f"u{n}", f"i{n}", n, text="x" * 50) for n in range(500))
    assert store.check() == []
    store.close()
    content = bytearray(path.read_bytes())
    for page in range(4096, len(content) - 4096, 4096):
        content[page : page + 100] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=str(path)):
        list(EventStore(sqlite_url(path)).log())


@pytest.mark.parametrize("change", ["substr({0}, 2)", "substr({0}, 1, 3)", "'[1, 2]'", "'null'"])
@pytest.mark.parametrize(
    ("table", "column", "read"),
    [
        ("snapshots", "content", EventStore.snapshot),
        ("users", "profile", lambda store: store.user("u")),
    ],
)
def test_a_record_that_is_not_what_was_written_is_named(
    store: EventStore, path: Path, table: str, column: str, read: object, change: str
) -> None:
    store.commit({"table": "items-0001"})
    store.put_users([User("u", {"age": 3})])
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {table} SET {column} = {change.format(column)}")
    connection.close()
    with pytest.raises(CorruptFileError, match=rf"{path}: damaged: .*{table}"):
        read(store)  # type: ignore[operator]


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"gone/events\.db: unable to open database file"):
        EventStore(sqlite_url(tmp_path / "gone" / "events.db"))


def test_a_full_disk_is_a_clean_error_and_nothing_is_half_written(store: EventStore, path: Path) -> None:
    store.add([event("u", "a", 1)])
    limit = sqlite3.connect(path)
    pages = limit.execute("PRAGMA page_count").fetchone()[0]
    limit.close()

    @sa.event.listens_for(store._engine, "checkout")
    def small(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages + 2}").close()

    with pytest.raises(WorkspaceError, match=r"events\.db: database or disk is full") as caught:
        store.add(event("v", f"i{n}", n, text="x" * 100) for n in range(2000))
    assert "Free some space" in str(caught.value)
    assert store.history("v") == []
    assert len(store.history("u")) == 1


def test_text_that_is_not_unicode_is_refused(store: EventStore) -> None:
    # A lone surrogate: what Python makes of bytes on the command line that are not UTF-8.
    with pytest.raises(RequestError, match=r"udcff.*not valid Unicode"):
        store.history("u\udcff")
    with pytest.raises(RequestError, match="not valid Unicode"):
        store.add([event("u", "a\udcff", 1)])


@pytest.mark.parametrize("user", ["a\0b", "x" * 1_000_000, "", " "])
def test_user_ids_of_every_kind(store: EventStore, user: str) -> None:
    store.add([event(user, "a", 1)])
    assert store.history(user) == [event(user, "a", 1)]


@pytest.mark.parametrize("name", ["what?", "50% off", "shop #1", "a&b=c", "ünï", "it's", "a;b", "x y"])
def test_workspaces_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    store = EventStore(sqlite_url(folder / "events.db"))
    store.add([event("u", "a", 1)])
    store.close()
    assert (folder / "events.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "url",
    [
        "not a url with s3cret",
        "oracle+nothing://me:s3cret@host/db",
        "postgresql+nothing://me:s3cret@host/db",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(WorkspaceError, match=r"\[store\] events") as caught:
        EventStore(url)
    assert "s3cret" not in str(caught.value)


# PostgreSQL: no server here, so every statement is compiled for it


def test_statements_compile_for_postgresql(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    dialect, seen = postgresql.dialect(), []

    def compile_it(statement: sa.ClauseElement, *_: object) -> MagicMock:
        seen.append(" ".join(str(statement.compile(dialect=dialect)).split()))
        return MagicMock(rowcount=1)

    engine = MagicMock(dialect=dialect)
    for opened in (engine.begin, engine.connect):
        connection = opened.return_value.__enter__.return_value
        connection.execution_options.return_value = connection
        connection.execute.side_effect = compile_it
    monkeypatch.setattr(store, "_engine", engine)

    store.add([event("u", "a", 1)])
    store.stage([event("u", "a", 1, 2.0)])
    store.put_users([User("u")])
    store.explanations()["k"] = "v"
    store.commit({})
    upserts = [statement for statement in seen if "ON CONFLICT" in statement]
    assert len(upserts) == 5
    assert all(" DO UPDATE SET " in statement and "excluded." in statement for statement in upserts)
    assert "FROM staged_events WHERE true ON CONFLICT (user_id, item_id, timestamp)" in upserts[-1]

    list(store.log())
    store.delete(user_id="u", item_id="a")
    store.unstage()
    store.history("u")
    store.user_ids(3)
    store.snapshots(2)
    del store.explanations()["k"]
    store.sharing(["a", "b"], "u", 5)
    list(store.choices(["u", "v"]))
    store.popularity()
    store.together("a", ["b"])
    assert store.check() == []
    assert len(seen) == 5 + 2 + 11  # the commit also deletes and inserts


def test_tables_compile_for_postgresql() -> None:
    tables = metadata.sorted_tables
    created = [str(sa.schema.CreateTable(table).compile(dialect=postgresql.dialect())) for table in tables]
    assert len(created) == 5
    assert "id SERIAL NOT NULL" in "".join(created)
    assert "timestamp DOUBLE PRECISION NOT NULL" in "".join(created)
