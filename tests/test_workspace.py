"""A workspace: one snapshot at a time, damage named, writers one by one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from catalogs import DIMENSION, ids_of, log_of, write
from filelock import FileLock, Timeout

from llmrec.config import FORMAT, RankSettings
from llmrec.errors import ConfigError, CorruptFileError, WorkspaceError
from llmrec.rank.catalog import Catalog
from llmrec.rank.ranker import Ranker
from llmrec.schema import Item
from llmrec.store.items import ItemTable
from llmrec.workspace import SETTINGS, Snapshot, Workspace, find_workspace


def publish(workspace: Workspace, *ids: str, anew: bool = False) -> Snapshot:
    """What an index run does at its end."""
    present = None if anew else workspace.present()
    items = [Item(item, f"Title of {item}") for item in ids]
    table = write(workspace.items, present.table if present else None, items)
    channels = workspace.channels_folder()
    catalog = Catalog(table, exact_items=1000)
    Ranker.fit(catalog, log_of([], catalog), RankSettings()).save(channels)
    snapshot = snapshot_of(workspace, table, channels, present.snapshot.files if present else {})
    workspace.events.commit(snapshot.model_dump())
    workspace.collect()
    return snapshot


def snapshot_of(
    workspace: Workspace, table: ItemTable, channels: Path, known: dict[str, str], **changes: object
) -> Snapshot:
    content = {
        "table": table.name,
        "version": table.version,
        "items": len(table),
        "encoder": "plugin:words",
        "encoder_fingerprint": "words-1",
        "dimension": DIMENSION,
        "prompt": "item@1:0",
        "channels": channels.name,
        "files": workspace.checksums(table, channels, known),
    }
    return Snapshot.model_validate(content | changes)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    made = Workspace.create(tmp_path / "shop")
    yield made
    made.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two versions of a table; to be copied, not changed."""
    root = tmp_path_factory.mktemp("shops") / "shop"
    made = Workspace.create(root)
    publish(made, "i1", "i2")
    publish(made, "i2", "i3")
    made.close()
    return root


@pytest.fixture
def copied(shop: Path, tmp_path: Path) -> Iterator[Workspace]:
    shutil.copytree(shop, tmp_path / "shop")
    opened = Workspace(tmp_path / "shop")
    yield opened
    opened.close()


# Making and opening


def test_create_makes_a_workspace_and_opens_one_that_is_there(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "shop"
    first = Workspace.create(root)
    assert (root / SETTINGS).read_text(encoding="utf-8") == f'format = {FORMAT}\nprofile = "small"\n'
    assert (first.snapshot(), first.present()) == (None, None)
    first.close()
    (root / SETTINGS).write_text(f"format = {FORMAT}\n[documents]\nhistory = 3\n", encoding="utf-8")
    again = Workspace.create(root)
    assert again.settings.documents.history == 3
    again.close()
    assert not list(root.glob("*.part"))


def test_an_unknown_profile_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown profile 'huge'") as caught:
        Workspace.create(tmp_path / "shop", "huge")
    assert "small" in str(caught.value)
    assert not (tmp_path / "shop").exists()


def test_a_folder_without_settings_is_no_workspace(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "gone"):
        with pytest.raises(WorkspaceError, match="no workspace here") as caught:
            Workspace(root)
        assert f"llmrec index CATALOG --workspace {root}" in str(caught.value)
    assert not list(tmp_path.iterdir()), "looking leaves nothing behind"


def test_a_workspace_cannot_be_made_inside_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="a workspace cannot be made here: "):
        Workspace.create(tmp_path / "file" / "shop")


def test_bad_settings_name_the_file(tmp_path: Path) -> None:
    (tmp_path / SETTINGS).write_text("histroy = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"{tmp_path / SETTINGS}: histroy: "):
        Workspace(tmp_path)


@pytest.mark.parametrize(
    ("found", "age", "way_out"),
    [(FORMAT + 1, "newer", "pip install -U llmrec"), (FORMAT - 1, "older", "--workspace NEW_FOLDER")],
)
def test_another_format_is_refused_with_the_way_out(
    copied: Workspace, found: int, age: str, way_out: str
) -> None:
    (copied.root / SETTINGS).write_text(f"format = {found}\nunheard_of = 1\n", encoding="utf-8")
    with pytest.raises(WorkspaceError, match=rf"written by an? {age} llmrec \(format {found}") as caught:
        Workspace(copied.root)
    assert way_out in str(caught.value)


@pytest.mark.parametrize("found", [FORMAT + 1, FORMAT - 1])
def test_a_snapshot_of_another_format_is_refused(copied: Workspace, found: int) -> None:
    copied.events.commit({"format": found, "unheard_of": 1})
    with pytest.raises(WorkspaceError, match=rf"llmrec \(format {found}; this one reads {FORMAT}\)"):
        copied.snapshot()


@pytest.mark.parametrize("content", [{"format": FORMAT, "table": "items-0001"}, {"format": "x"}])
def test_a_snapshot_record_that_makes_no_sense_is_named(workspace: Workspace, content: object) -> None:
    workspace.events.commit(content)  # type: ignore[arg-type]
    with pytest.raises(CorruptFileError, match="the snapshot record cannot be read: ") as caught:
        workspace.snapshot()
    assert "pydantic.dev" not in str(caught.value)


def test_another_encoder_is_refused_with_the_way_out(copied: Workspace) -> None:
    snapshot = copied.snapshot()
    with pytest.raises(WorkspaceError, match=r"encoded by plugin:words \(words-1\)") as caught:
        copied.require_encoder(snapshot)
    assert "--rebuild" in str(caught.value)
    assert snapshot is not None
    own = copied.encoding(None)
    same = snapshot.model_copy(update={"encoder_fingerprint": own.fingerprint})
    assert copied.require_encoder(same) == own


def test_an_empty_workspace_takes_any_encoder(workspace: Workspace) -> None:
    assert workspace.require_encoder(None).spec == workspace.settings.models.encoder


# Snapshots


def test_the_present_snapshot_is_the_last_one_published(copied: Workspace) -> None:
    present = copied.present()
    assert present is not None
    assert present.snapshot == copied.snapshot()
    assert sorted(ids_of(present.table)) == ["i1", "i2", "i3"]
    assert present.channels == copied.root / "channels" / "0002"


def test_every_file_of_the_snapshot_is_covered(copied: Workspace) -> None:
    present = copied.present()
    assert present is not None
    files = {
        str(path.relative_to(copied.root))
        for folder in (copied.root / "items" / f"{present.table.name}.lance", present.channels)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("_hint.json")
    }
    assert set(present.snapshot.files) == files
    assert len(files) >= 8


def flip_first(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def flip_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip_first, flip_middle, truncate, empty, Path.unlink])
def test_damage_to_any_file_is_found_and_named(copied: Workspace, damage: Callable[[Path], None]) -> None:
    snapshot = copied.snapshot()
    assert snapshot is not None
    for name in snapshot.files:
        path = copied.root / name
        content = path.read_bytes()
        damage(path)
        with pytest.raises(CorruptFileError) as caught:
            copied.present()
        assert caught.value.message.startswith(f"{path}: ")
        assert "--rebuild" in str(caught.value)
        path.write_bytes(content)
    assert copied.present() is not None


def test_a_file_that_cannot_be_read_is_named(copied: Workspace) -> None:
    snapshot = copied.snapshot()
    assert snapshot is not None
    path = copied.root / next(iter(snapshot.files))
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(CorruptFileError, match=str(path)):
        copied.present()


def test_files_of_a_table_are_hashed_once(copied: Workspace) -> None:
    present = copied.present()
    assert present is not None
    known = dict.fromkeys(present.snapshot.files, "as before")
    found = copied.checksums(present.table, present.channels, known)
    assert found == known
    del known[next(iter(known))]
    assert set(found) == set(copied.checksums(present.table, present.channels, known))


def test_a_reader_that_opens_while_the_snapshot_changes_gets_the_new_one(
    copied: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Workspace(copied.root)
    verify = reader._verify

    def overtaken(snapshot: Snapshot) -> None:
        monkeypatch.setattr(reader, "_verify", verify)
        publish(copied, "new", anew=True)
        publish(copied, "newer", anew=True)  # the files of what the reader began to open are gone now
        verify(snapshot)

    monkeypatch.setattr(reader, "_verify", overtaken)
    present = reader.present()
    assert present is not None
    assert ids_of(present.table) == ["newer"]
    reader.close()


def test_an_open_reader_outlives_the_next_snapshot(copied: Workspace) -> None:
    reader = Workspace(copied.root)
    before = reader.present()
    assert before is not None
    publish(copied, "new", anew=True)
    assert sorted(ids_of(before.table)) == ["i1", "i2", "i3"]
    assert sorted(before.table.items(["i1", "new"])) == ["i1"]
    assert len(list(before.channels.iterdir())) == 3
    after = reader.present()
    assert after is not None
    assert ids_of(after.table) == ["new"]
    reader.close()


def test_collect_keeps_the_present_and_the_previous_snapshot_only(copied: Workspace) -> None:
    def folders(name: str) -> list[str]:
        return sorted(path.name for path in (copied.root / name).iterdir())

    assert (folders("items"), folders("channels")) == (["items-0001.lance"], ["0001", "0002"])
    publish(copied, "a", anew=True)
    assert (folders("items"), folders("channels")) == (
        ["items-0001.lance", "items-0002.lance"],
        ["0002", "0003"],
    )
    write(copied.items, None, [Item("left over by a run that was killed")])
    copied.channels_folder()
    publish(copied, "b", anew=True)
    assert len(folders("items")) == 2
    assert "items-0001.lance" not in folders("items")
    assert len(folders("channels")) == 2
    present = copied.present()
    assert present is not None
    assert ids_of(present.table) == ["b"]


def test_a_channels_folder_is_new_and_empty(workspace: Workspace) -> None:
    first, second = workspace.channels_folder(), workspace.channels_folder()
    assert (first.name, second.name) == ("0001", "0002")
    assert not list(second.iterdir())


# Locking


def test_a_second_writer_is_refused_and_may_write_later(workspace: Workspace) -> None:
    script = """
        import sys
        from pathlib import Path
        from llmrec.workspace import Workspace
        with Workspace(Path(sys.argv[1])).lock():
            print("locked", flush=True)
            sys.stdin.readline()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(workspace.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with (
            pytest.raises(WorkspaceError, match="another llmrec run is writing to this workspace"),
            workspace.lock(),
        ):
            raise AssertionError("both have the lock")
        publish(workspace, "readers", "are", "not", "kept", "out")
        process.kill()
    with workspace.lock():
        pass


def test_two_writers_in_one_process(workspace: Workspace) -> None:
    other = Workspace(workspace.root)
    with workspace.lock(), pytest.raises(WorkspaceError, match="another llmrec run"), other.lock():
        raise AssertionError("both have the lock")
    with other.lock():
        pass
    other.close()


def test_a_lock_is_let_go_after_an_error(workspace: Workspace) -> None:
    with pytest.raises(KeyError), workspace.lock():
        raise KeyError
    with workspace.lock():
        pass


def test_another_lock_that_times_out_inside_is_not_mistaken_for_ours(
    workspace: Workspace, tmp_path: Path
) -> None:
    # Weights that another process pulls are behind a lock of their own.
    with FileLock(tmp_path / "weights.lock"), pytest.raises(Timeout), workspace.lock():
        FileLock(tmp_path / "weights.lock", timeout=0).acquire()


# Which workspace a command means


def test_the_workspace_given_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMREC_WORKSPACE", "elsewhere")
    assert find_workspace(tmp_path) == tmp_path
    assert find_workspace(None) == Path("elsewhere")


def test_the_current_folder_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMREC_WORKSPACE", "")
    monkeypatch.chdir(tmp_path)
    assert find_workspace(None) == Path(".llmrec")
    Workspace.create(Path()).close()
    assert find_workspace(None) == Path()


@pytest.mark.parametrize("address", ["s3://bucket/shop", "gs://b", "postgresql+psycopg://me@host/db"])
def test_an_address_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorkspaceError, match="a workspace is a folder on this machine"):
        find_workspace(Path(address))
    monkeypatch.setenv("LLMREC_WORKSPACE", address)
    with pytest.raises(WorkspaceError, match="a workspace is a folder on this machine"):
        find_workspace(None)


@pytest.mark.parametrize("name", ["a:b/c", "shop", "/a/b", "C:/shops"])
def test_folders_with_colons_are_folders(name: str) -> None:
    assert find_workspace(Path(name)) == Path(name)


# The event store of a workspace


def test_a_damaged_event_store_is_named(copied: Workspace) -> None:
    copied.close()
    path = copied.root / "events.db"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CorruptFileError, match=str(path)):
        Workspace(copied.root).present()


@pytest.mark.parametrize("damage", [empty, Path.unlink])
def test_an_event_store_that_is_gone_is_not_taken_for_a_new_one(
    copied: Workspace, damage: Callable[[Path], None]
) -> None:
    copied.close()
    path = copied.root / "events.db"
    damage(path)
    for _ in range(2):
        with pytest.raises(CorruptFileError, match=rf"{path}: missing or empty") as caught:
            Workspace(copied.root)
    assert "Restore it from a backup" in str(caught.value)


def test_another_event_store_by_url(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    root = tmp_path / "shop"
    root.mkdir()
    (root / SETTINGS).write_text(f'[store]\nevents = "sqlite:///{elsewhere}"\n', encoding="utf-8")
    workspace = Workspace(root)
    workspace.events.commit({})
    workspace.close()
    assert not (root / "events.db").exists()
    with sqlite3.connect(elsewhere) as connection:
        assert connection.execute("SELECT count(*) FROM snapshots").fetchone() == (1,)
    connection.close()
