"""What must not break a workspace: kills, a full disk, damaged files, two writers (SCENARIOS 1 to 6)."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shop import index_shop, item_rows, make_workspace, write_events, write_items, write_shop

from llmrec.config import FORMAT
from llmrec.errors import CorruptFileError, LlmrecError
from llmrec.indexing import IndexRun
from llmrec.recommender import Recommender
from llmrec.workspace import Workspace

ROUNDS = 20
COMMAND = [sys.executable, "-c", "from llmrec.cli.main import run; run()"]


def start(*arguments: object, prefix: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    return subprocess.Popen(
        [*prefix, *COMMAND, *map(str, arguments)],
        # A test run that was started in the background ignores SIGINT, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_journal(process: subprocess.Popen[str], root: Path) -> None:
    """Until an index run, still alive, has kept its first batch."""
    while not list((root / "staging").rglob("*.arrow")):
        assert process.poll() is None
        time.sleep(0.01)


def answers(root: Path) -> list[tuple[str, float]]:
    """What the workspace answers now."""
    with Recommender.open(root) as recommender:
        found = recommender.recommend("u0", k=500)
    return [(entry.item_id, round(entry.score, 4)) for entry in found]


def large_shop(version: int) -> list[dict[str, object]]:
    """2,000 items; ``version`` changes the text of every one."""
    rows = item_rows()
    rows += [
        {"item_id": f"extra-{number}", "title": f"Extra {number}", "description": f"version {version}"}
        for number in range(2000)
    ]
    return rows


@pytest.mark.slow
def test_kills_at_random_points_never_show_a_mix_and_lose_no_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = 20261124
    chance = random.Random(seed)
    sources = write_shop(tmp_path / "data")
    root = make_workspace(tmp_path / "w", encoder="plugin:slow-words").root
    write_items(sources.catalog, large_shop(0))
    log = tmp_path / "encoded.txt"
    arguments = ("index", sources.catalog, "-i", sources.interactions[0], "-w", root, "--json")
    began = time.monotonic()
    run_to_end(*arguments)
    seconds = time.monotonic() - began
    old = answers(root)
    killed = 0
    for version in range(1, ROUNDS + 1):
        write_items(sources.catalog, large_shop(version))
        log.write_text("", encoding="utf-8")
        process = start(*arguments, LLMREC_TEST_ENCODED=str(log))
        try:
            process.communicate(timeout=chance.uniform(0.3, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
        during = answers(root)
        finished = json.loads(run_to_end(*arguments, LLMREC_TEST_ENCODED=str(log)))
        new = answers(root)
        assert during in (old, new), f"round {version} (seed {seed}): a mix of two states"
        texts = log.read_text(encoding="utf-8").splitlines()
        # A kill may lose the one chunk that was being encoded, never what the journal holds.
        assert len(texts) - len(set(texts)) <= 512
        assert finished["items"] == 2012
        old = new
    assert killed >= ROUNDS // 2, f"only {killed} of {ROUNDS} runs were killed: the test proves little"


def run_to_end(*arguments: object, **environment: str) -> str:
    process = start(*arguments, **environment)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out


@pytest.mark.slow
def test_a_killed_run_is_continued_from_its_journal(tmp_path: Path) -> None:
    sources = write_shop(tmp_path / "data")
    root = make_workspace(tmp_path / "w", encoder="plugin:slow-words").root
    write_items(sources.catalog, large_shop(0))
    process = start("index", sources.catalog, "-w", root)
    journal = root / "staging" / "update"
    wait_for_journal(process, root)
    process.kill()
    process.communicate()
    assert Workspace(root).snapshot() is None
    finished = json.loads(run_to_end("index", sources.catalog, "-w", root, "--json"))
    assert finished["resumed"] >= 512
    assert finished["resumed"] + finished["encoded"] == 2012
    assert not journal.exists()


@pytest.mark.slow
def test_a_full_disk_is_a_clean_error_and_keeps_the_old_index(tmp_path: Path) -> None:
    """The limit on the size of a file stands for the disk: writing past it fails in the same calls."""
    workspace, sources, _ = index_shop(tmp_path)
    workspace.close()
    before = answers(workspace.root)
    write_items(sources.catalog, large_shop(1))
    limited = start(
        "index",
        sources.catalog,
        "-w",
        workspace.root,
        prefix=("bash", "-c", 'ulimit -f 64; trap "" XFSZ; exec "$@"', "bash"),
    )
    _, error = limited.communicate(timeout=120)
    assert limited.returncode == 1
    assert "disk is full" in error
    assert "Traceback" not in error
    assert answers(workspace.root) == before
    run_to_end("index", sources.catalog, "-w", workspace.root)
    assert answers(workspace.root) != before


def snapshot_files(root: Path) -> list[str]:
    snapshot = Workspace(root).snapshot()
    assert snapshot is not None
    return sorted(snapshot.files)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "removed"])
def test_any_damaged_file_is_named_and_never_used(tmp_path: Path, damage: str) -> None:
    workspace, _, _ = index_shop(tmp_path)
    workspace.close()
    files = snapshot_files(workspace.root)
    assert len(files) >= 4
    for name in files:
        path = workspace.root / name
        content = path.read_bytes()
        if damage == "truncated":
            path.write_bytes(content[: len(content) // 2])
        elif damage == "flipped":
            middle = len(content) // 2
            path.write_bytes(content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :])
        else:
            path.unlink()
        with pytest.raises(CorruptFileError) as caught:
            Recommender.open(workspace.root)
        assert path.name in str(caught.value)
        path.write_bytes(content)
    assert answers(workspace.root)


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_a_truncated_event_store_is_named(tmp_path: Path, keep: int) -> None:
    workspace, _, _ = index_shop(tmp_path)
    workspace.close()
    path = workspace.root / "events.db"
    path.write_bytes(path.read_bytes()[:keep])
    for beside in workspace.root.glob("events.db-*"):
        beside.unlink()
    process = start("recommend", "u0", "-w", workspace.root)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in error
    assert out == ""
    assert str(workspace.root) in error.replace("\n", "")


@pytest.mark.slow
def test_a_second_index_run_is_refused_and_readers_keep_one_snapshot(tmp_path: Path) -> None:
    workspace, sources, _ = index_shop(tmp_path)
    workspace.close()
    root = make_workspace(tmp_path / "w", encoder="plugin:slow-words").root
    IndexRun(Workspace(root), sources, rebuild=True)()
    before = answers(root)
    write_items(sources.catalog, large_shop(1))
    first = start("index", sources.catalog, "-w", root, LLMREC_TEST_SECONDS="3")
    wait_for_journal(first, root)
    second = start("index", sources.catalog, "-w", root)
    _, error = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "another llmrec run" in error
    assert answers(root) == before
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert answers(root) != before


def test_a_copy_of_a_workspace_answers_the_same(tmp_path: Path) -> None:
    workspace, _, _ = index_shop(tmp_path)
    expected = answers(workspace.root)
    workspace.close()
    shutil.copytree(workspace.root, tmp_path / "copy")
    shutil.rmtree(workspace.root)
    assert answers(tmp_path / "copy") == expected


@pytest.mark.parametrize(("found", "way_out"), [(0, "into a new workspace"), (99, "pip install -U")])
def test_a_workspace_of_another_format_says_how_to_go_on(tmp_path: Path, found: int, way_out: str) -> None:
    workspace, _, _ = index_shop(tmp_path)
    settings = workspace.root / "llmrec.toml"
    settings.write_text(
        settings.read_text(encoding="utf-8").replace(f"format = {FORMAT}", f"format = {found}"), "utf-8"
    )
    with pytest.raises(LlmrecError, match=way_out):
        Recommender.open(workspace.root)


@pytest.mark.slow
def test_interrupting_a_run_ends_cleanly_and_loses_nothing(tmp_path: Path) -> None:
    sources = write_shop(tmp_path / "data")
    root = make_workspace(tmp_path / "w", encoder="plugin:slow-words").root
    write_items(sources.catalog, large_shop(0))
    process = start("index", sources.catalog, "-w", root)
    wait_for_journal(process, root)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in error
    assert json.loads(run_to_end("index", sources.catalog, "-w", root, "--json"))["resumed"] >= 512


@pytest.mark.slow
def test_odd_ids_and_names_survive(tmp_path: Path) -> None:
    odd = ["it's", 'say "hi"', "a/b\\c", "ünïcödé", "-- drop", "%s", "\N{PILE OF POO}", "a,b"]
    folder = tmp_path / "näme with 'quotes'"
    folder.mkdir()
    rows: list[dict[str, object]] = [{"item_id": item, "title": f"Title {item}", "x y": 1} for item in odd]
    catalog = write_items(folder / "cätalog.jsonl", rows)
    events = [
        {"user_id": "o'brien", "item_id": item, "timestamp": 1e9 + at} for at, item in enumerate(odd[:3])
    ]
    log = write_events(folder / "log.csv", events)
    root = make_workspace(folder / "w").root
    run_to_end("index", catalog, "-i", log, "-w", root)
    with Recommender.open(root) as recommender:
        found = recommender.recommend("o'brien", k=10, where="`x y` = 1")
        assert {entry.item_id for entry in found} == set(odd[3:])
        assert recommender.similar("it's", k=2)
