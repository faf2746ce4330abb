"""Memory does not grow with the file, files are closed, and an unchanged file is recognised."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from llmrec.errors import ReaderError
from llmrec.readers import read_interactions, source_digest
from llmrec.schema import Flag


def write_csv(path: Path, rows: int) -> None:
    path.write_text("user_id,item_id,timestamp\n" + "".join(f"u{n},i{n},{n}\n" for n in range(rows)))


def write_lines(path: Path, rows: int) -> None:
    events = (json.dumps({"user_id": n, "item_id": n, "timestamp": n}) for n in range(rows))
    path.write_text("\n".join(events))


def write_array(path: Path, rows: int) -> None:
    path.write_text(json.dumps([{"user_id": n, "item_id": n, "timestamp": n} for n in range(rows)]))


def peak_memory(path: Path, rows: int) -> int:
    tracemalloc.start()
    count = sum(1 for _ in read_interactions(path, on_flag=pytest.fail))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == rows
    return peak


@pytest.mark.parametrize(
    ("name", "write"), [("log.csv", write_csv), ("log.jsonl", write_lines), ("log.json", write_array)]
)
def test_memory_does_not_grow_with_the_file(
    name: str, write: Callable[[Path, int], None], tmp_path: Path
) -> None:
    path = tmp_path / name
    peaks = []
    for rows in (3_000, 20_000):
        write(path, rows)
        peaks.append(peak_memory(path, rows))
    assert peaks[1] < peaks[0] + 100_000


def test_a_stream_that_is_left_early_closes_its_file(tmp_path: Path, flags: list[Flag]) -> None:
    write_csv(tmp_path / "log.csv", 10_000)
    stream = read_interactions(tmp_path / "log.csv", on_flag=flags.append)
    assert next(stream).user_id == "u0"
    del stream  # an open file would be a ResourceWarning, which pytest turns into an error


def test_digest_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x")
    first = source_digest(path)
    assert first == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    path.write_text("y")
    assert source_digest(str(path)) != first
    with pytest.raises(ReaderError, match="no such file"):
        source_digest(tmp_path / "none.csv")


def test_digest_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "a").write_text("x")
    digests = {source_digest(folder), source_digest(f"{folder}#train"), source_digest(f"{folder}#test")}
    (folder / "train" / "a").rename(folder / "train" / "b")
    digests.add(source_digest(folder))
    (folder / "train" / "b").write_text("y")
    digests.add(source_digest(folder))
    assert len(digests) == 5
