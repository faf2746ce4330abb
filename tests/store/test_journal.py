"""The journal: what was encoded survives a kill, and what is damaged is encoded again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pytest
from catalogs import encoded, unit_vectors

from llmrec.schema import Item
from llmrec.store.journal import Journal


def append(journal: Journal, *ids: str, key: str = "k1", title: str = "") -> None:
    journal.append(encoded([Item(item, title) for item in ids], key))


def rows(journal: Journal, *wanted: str) -> list[tuple[str, str]]:
    """(item id, title) of the journal's rows."""
    batches = list(journal.batches(set(wanted)))
    return [(row["item_id"], row["title"]) for batch in batches for row in batch.to_pylist()]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".arrow")


def test_rows_come_back_whole(tmp_path: Path) -> None:
    batch = encoded([Item("i1", "One", attributes={"x": 1}), Item("i2")], "k7", unit_vectors(2, 5))
    Journal(tmp_path / "j").append(batch)
    journal = Journal(tmp_path / "j")
    assert (journal.key_of("i1"), journal.key_of("i3")) == ("k7", None)
    assert list(journal.batches({"i1", "i2"})) == [batch]


def test_only_wanted_rows_are_given(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    append(journal, "a", "b", "c")
    append(journal, "d")
    assert rows(journal, "b", "never") == [("b", "")]
    assert rows(journal) == []


def test_the_newest_row_wins(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    append(journal, "a", "b", key="k1", title="old")
    append(journal, "a", key="k2", title="new")
    for opened in (journal, Journal(tmp_path)):
        assert (opened.key_of("a"), opened.key_of("b")) == ("k2", "k1")
        assert rows(opened, "a", "b") == [("b", "old"), ("a", "new")]


def test_a_journal_goes_on_after_the_last_file(tmp_path: Path) -> None:
    append(Journal(tmp_path), "a", title="first")
    append(Journal(tmp_path), "a", title="second")
    append(Journal(tmp_path), "b")
    assert len(files(tmp_path)) == 3
    assert rows(Journal(tmp_path), "a", "b") == [("a", "second"), ("b", "")]


def test_more_than_ten_files_stay_in_order(tmp_path: Path) -> None:
    for number in range(12):
        append(Journal(tmp_path), "a", key=f"k{number}", title=str(number))
    assert rows(Journal(tmp_path), "a") == [("a", "11")]


def test_a_part_that_a_kill_left_is_dropped(tmp_path: Path) -> None:
    append(Journal(tmp_path), "a")
    whole = files(tmp_path)[0].read_bytes()
    left = tmp_path / "00000002.part"
    left.write_bytes(whole[:100])
    journal = Journal(tmp_path)
    assert not left.exists()
    assert rows(journal, "a") == [("a", "")]
    append(journal, "b")
    assert rows(Journal(tmp_path), "a", "b") == [("a", ""), ("b", "")]


def test_a_killed_process_leaves_whole_batches(tmp_path: Path) -> None:
    script = """
        import itertools, sys
        from pathlib import Path
        from catalogs import encoded
        from llmrec.schema import Item
        from llmrec.store.journal import Journal
        journal = Journal(Path(sys.argv[1]))
        for number in itertools.count():
            journal.append(encoded([Item(f"i{number}-{row}") for row in range(50)]))
            print(number, flush=True)
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ["PYTHONPATH"]])
    }
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with process:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(5)][-1]
        process.send_signal(signal.SIGKILL)
        told = max([told, *(int(line) for line in process.stdout.read().split())])
    journal = Journal(tmp_path)
    wanted = {f"i{number}-{row}" for number in range(told + 1) for row in range(50)}
    assert {item for item, _ in rows(journal, *wanted)} == wanted


@pytest.mark.parametrize("keep", [0, 10, 300, -9])
def test_a_truncated_file_is_dropped(tmp_path: Path, keep: int) -> None:
    append(Journal(tmp_path), "a", "b")
    append(Journal(tmp_path), "c")
    damaged = files(tmp_path)[0]
    damaged.write_bytes(damaged.read_bytes()[:keep])
    journal = Journal(tmp_path)
    assert journal.key_of("a") is None
    assert rows(journal, "a", "b", "c") == [("c", "")]
    assert len(files(tmp_path)) == 1


def test_a_flipped_bit_anywhere_drops_the_file(tmp_path: Path) -> None:
    append(Journal(tmp_path), "a", "b")
    path = files(tmp_path)[0]
    whole = path.read_bytes()
    for position in range(0, len(whole), 37):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert rows(Journal(tmp_path), "a", "b") == [], position
        assert files(tmp_path) == []
    path.write_bytes(whole)
    assert len(rows(Journal(tmp_path), "a", "b")) == 2


def test_a_file_that_is_no_batch_is_dropped(tmp_path: Path) -> None:
    append(Journal(tmp_path), "a")
    other = tmp_path / f"00000002{files(tmp_path)[0].name[8:]}"
    with pa.OSFile(str(other), "wb") as file, pa.ipc.new_stream(file, pa.schema({"x": pa.int64()})) as writer:
        writer.write_batch(pa.record_batch({"x": [1]}))
    assert rows(Journal(tmp_path), "a") == [("a", "")]
    assert not other.exists()


def test_clear_forgets_everything(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    append(journal, "a")
    journal.clear()
    assert not (tmp_path / "j").exists()
    assert Journal(tmp_path / "j").key_of("a") is None
