"""The cache of media texts: what is kept, what is dropped, what damage does."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmrec.errors import CorruptFileError
from llmrec.modality.cache import LayeredCache, MediaCache, Result
from llmrec.schema import TextPiece

PIECES = (
    TextPiece("caption", "a cat — ein Kätzchen\n猫", "", model="m", confidence=0.25, margin=-0.125),
    TextPiece("transcript", "hello", "", start=0.0, end=1.5),
)


@pytest.fixture
def cache(tmp_path: Path) -> MediaCache:
    return MediaCache(tmp_path / "w" / "media.db")


def test_what_was_put_is_got_back_whole(cache: MediaCache) -> None:
    results = [Result("c1", "caption:a", PIECES), Result("c1", "ocr:b"), Result("c1", "look:x", (), "broken")]
    cache.put(results)
    assert cache.get("c1", {"caption:a", "ocr:b", "look:x"}) == {result.task: result for result in results}
    assert cache.get("c1", {"caption:other"}) == {}
    assert cache.get("c2", {"caption:a"}) == {}


def test_it_survives_the_process_that_wrote_it(cache: MediaCache) -> None:
    code = (
        "import os, sys, pathlib\n"
        "from llmrec.modality.cache import MediaCache, Result\n"
        "MediaCache(pathlib.Path(sys.argv[1])).put([Result('c', 'ocr:b', (), '')])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(cache.path)], timeout=60)
    assert killed.returncode == -9
    assert cache.get("c", {"ocr:b"}) == {"ocr:b": Result("c", "ocr:b")}


def test_failures_are_told_and_forgotten_alone(cache: MediaCache) -> None:
    cache.put([Result("c1", "ocr:b", (), "truncated"), Result("c2", "ocr:b", PIECES)])
    assert cache.failures() == {("c1", "ocr:b"): "truncated"}
    assert cache.forget_failures() == 1
    assert cache.failures() == {}
    assert cache.get("c2", {"ocr:b"})["ocr:b"].pieces == PIECES


def test_a_changed_entry_is_as_if_it_were_not_there(cache: MediaCache) -> None:
    cache.put([Result("c1", "caption:a", PIECES)])
    with sqlite3.connect(cache.path) as database:
        database.execute("UPDATE results SET pieces = replace(pieces, 'cat', 'dog')")
    assert cache.get("c1", {"caption:a"}) == {}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "media.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(CorruptFileError, match=r"media\.db.*damaged") as caught:
        MediaCache(path)
    assert "Delete it" in str(caught.value)


def test_files_are_known_by_size_and_time(cache: MediaCache) -> None:
    cache.remember([("/a.jpg", 10, 20, "c1")])
    assert cache.content_of("/a.jpg", 10, 20) == "c1"
    assert cache.content_of("/a.jpg", 10, 21) is None
    assert cache.content_of("/a.jpg", 11, 20) is None
    now = time.time_ns()
    cache.remember([("/new.jpg", 10, now, "c2")])
    assert cache.content_of("/new.jpg", 10, now) is None, "it may change once more within its clock's tick"


def test_pruning_keeps_what_is_still_made_of_files_that_are_there(cache: MediaCache, tmp_path: Path) -> None:
    kept, gone = tmp_path / "kept.jpg", tmp_path / "gone.jpg"
    for path in (kept, gone):
        path.write_bytes(b"x")
        stat = path.stat()
        cache.remember([(str(path), stat.st_size, stat.st_mtime_ns, path.stem)])
    cache.put(
        Result(content, task) for content in ("kept", "gone", "url:1") for task in ("ocr:new", "ocr:old")
    )
    gone.unlink()
    assert cache.prune_tasks({"ocr:new"}) == 4
    stats = cache.stats()
    assert (stats.results, stats.failures, stats.files) == ({"ocr": 2}, {}, 1)
    assert cache.get("kept", {"ocr:new"})
    assert cache.get("url:1", {"ocr:new"})


def test_pruning_by_age(cache: MediaCache) -> None:
    cache.put([Result("old", "ocr:b"), Result("used", "ocr:b")])
    with sqlite3.connect(cache.path) as database:
        database.execute("UPDATE results SET used = used - 86400 * 10")
    cache.touch("used")
    assert cache.prune_older(9) == 1
    assert cache.get("used", {"ocr:b"})


def test_workspaces_share_results_but_not_failures(tmp_path: Path) -> None:
    shared = tmp_path / "home" / "media.db"
    first = LayeredCache(MediaCache(tmp_path / "one" / "media.db"), MediaCache(shared))
    second = LayeredCache(MediaCache(tmp_path / "two" / "media.db"), MediaCache(shared))
    first.put([Result("c1", "caption:a", PIECES), Result("c2", "caption:a", (), "no codec")])
    assert second.get("c1", {"caption:a"})["caption:a"].pieces == PIECES
    assert second.get("c2", {"caption:a"}) == {}
    second.shared.prune_older(0)
    assert second.get("c1", {"caption:a"}), "what was taken is kept in the workspace"
