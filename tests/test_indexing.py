"""The index run: what changes, what is kept, what is flagged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shop import event_rows, index_shop, item_rows, make_workspace, write_events, write_items, write_shop

from llmrec.errors import ReaderError, WorkspaceError
from llmrec.indexing import ERRORS, IndexRun, Sources
from llmrec.recommender import Recommender
from llmrec.workspace import Workspace


@pytest.fixture
def encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that grows by a line for every text that is encoded."""
    log = tmp_path / "encoded.txt"
    log.touch()
    monkeypatch.setenv("LLMREC_TEST_ENCODED", str(log))
    return log


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_first_run_counts_everything(tmp_path: Path, encoded: Path) -> None:
    workspace, _, report = index_shop(tmp_path)
    assert (report.items, report.encoded, report.unchanged) == (12, 12, 0)
    assert (report.events, report.new_events) == (27, 27)
    assert report.flags == []
    assert len(lines(encoded)) == 12
    assert workspace.events.counts() == {"events": 27, "users": 9}


def test_second_run_encodes_nothing_and_publishes_nothing(tmp_path: Path, encoded: Path) -> None:
    workspace, sources, _ = index_shop(tmp_path)
    before = workspace.snapshot()
    report = IndexRun(workspace, sources)()
    assert (report.items, report.encoded, report.unchanged, report.new_events) == (12, 0, 12, 0)
    assert report.events == 27
    assert len(lines(encoded)) == 12
    assert workspace.snapshot() == before


def test_only_changed_items_are_encoded(tmp_path: Path, encoded: Path) -> None:
    workspace, sources, _ = index_shop(tmp_path)
    rows = item_rows()
    rows[0]["description"] = "A grinder that is now silent."
    rows.append({"item_id": "new", "title": "Tea Kettle", "categories": ["tea"]})
    write_items(sources.catalog, rows)
    report = IndexRun(workspace, sources)()
    assert (report.items, report.encoded, report.unchanged) == (13, 2, 11)
    assert len(lines(encoded)) == 14
    with Recommender(workspace) as recommender:
        assert recommender.item("coffee-0").text == "A grinder that is now silent."
        assert recommender.item("new").title == "Tea Kettle"


def test_missing_items_stay_unless_deletion_is_asked_for(tmp_path: Path) -> None:
    workspace, sources, _ = index_shop(tmp_path)
    write_items(sources.catalog, item_rows()[:-1])
    assert IndexRun(workspace, sources)().items == 12
    report = IndexRun(workspace, sources, delete_missing=True)()
    assert (report.items, report.deleted) == (11, 1)
    with Recommender(workspace) as recommender:
        assert all(entry.item_id != "music-3" for entry in recommender.recommend("u2", k=12))


def test_new_log_adds_events_and_leaves_items_alone(tmp_path: Path, encoded: Path) -> None:
    workspace, sources, _ = index_shop(tmp_path)
    more = write_events(
        tmp_path / "more.csv",
        [{"user_id": "u99", "item_id": "music-0", "timestamp": 1_700_000_000, "rating": 5}],
    )
    report = IndexRun(workspace, Sources(sources.catalog, (*sources.interactions, more)))()
    assert (report.events, report.new_events) == (28, 1)
    assert workspace.events.counts() == {"events": 28, "users": 10}
    assert len(lines(encoded)) == 12


def test_events_deleted_by_hand_do_not_come_back_with_an_unchanged_log(tmp_path: Path) -> None:
    workspace, sources, _ = index_shop(tmp_path)
    assert workspace.events.delete(user_id="u0") == 3
    IndexRun(workspace, sources)()
    assert workspace.events.history("u0") == []


def test_rebuild_encodes_everything_again_and_drops_what_the_catalog_lacks(
    tmp_path: Path, encoded: Path
) -> None:
    workspace, sources, _ = index_shop(tmp_path)
    write_items(sources.catalog, item_rows()[:6])
    report = IndexRun(workspace, sources, rebuild=True)()
    assert (report.items, report.encoded) == (6, 6)
    assert len(lines(encoded)) == 18
    snapshot = workspace.snapshot()
    assert snapshot is not None
    assert snapshot.items == 6


def test_another_encoder_is_refused_until_rebuild(tmp_path: Path) -> None:
    _, sources, _ = index_shop(tmp_path)
    other = make_workspace(tmp_path / "w", encoder="plugin:words-wide")
    with pytest.raises(WorkspaceError, match="--rebuild"):
        IndexRun(other, sources)()
    with pytest.raises(WorkspaceError, match="encoded by plugin:words "):
        Recommender(other)
    IndexRun(other, sources, rebuild=True)()
    with Recommender(other) as recommender:
        assert recommender.recommend("u0", k=1)


def test_bad_rows_are_flagged_and_the_rest_is_indexed(tmp_path: Path) -> None:
    sources = write_shop(tmp_path / "data")
    text = sources.catalog.read_text(encoding="utf-8")
    sources.catalog.write_text(text + '{"item_id": "half", "title": \n{"title": "no id"}\n', encoding="utf-8")
    rows = [*event_rows(), {"user_id": "u1", "item_id": "coffee-0", "timestamp": "soon", "rating": 4}]
    write_events(sources.interactions[0], rows)
    workspace = make_workspace(tmp_path / "w")
    report = IndexRun(workspace, sources)()
    assert (report.items, report.events) == (12, 27)
    flagged = [json.loads(line) for line in lines(workspace.root / ERRORS)]
    assert len(flagged) == 3
    assert {entry["source"].rpartition(":")[2] for entry in flagged} == {"13", "14", "29"}
    assert all(entry["reason"] for entry in flagged)


def test_media_that_lead_out_of_the_catalog_are_flagged_and_not_kept(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (data / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (data / "good.jpg").write_bytes(b"picture")
    images = ["good.jpg", "../secret.jpg", "link.jpg", "/etc/passwd"]
    catalog = write_items(data / "items.jsonl", [{"item_id": "a", "title": "A", "images": images}])
    workspace = make_workspace(tmp_path / "w")
    report = IndexRun(workspace, Sources(catalog))()
    assert [flag.source for flag in report.flags if "was refused" in flag.reason] == images[1:]
    assert [flag.reason for flag in report.flags if flag.source == "good.jpg"] == [
        "not a picture that can be read (found: text)"
    ]
    assert {flag.item_id for flag in report.flags} == {"a"}
    with Recommender(workspace) as recommender:
        assert recommender.item("a").images == ("good.jpg",)


def test_catalog_without_any_item_is_an_error_and_leaves_the_old_index(tmp_path: Path) -> None:
    workspace, sources, _ = index_shop(tmp_path)
    before = workspace.snapshot()
    sources.catalog.write_text("", encoding="utf-8")
    with pytest.raises(ReaderError, match=r"items\.jsonl"):
        IndexRun(workspace, sources)()
    assert workspace.snapshot() == before


def test_log_that_cannot_be_read_leaves_the_old_index_and_no_work_is_lost(
    tmp_path: Path, encoded: Path
) -> None:
    sources = write_shop(tmp_path / "data")
    workspace = make_workspace(tmp_path / "w")
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ReaderError, match=r"bad\.csv"):
        IndexRun(workspace, Sources(sources.catalog, (bad,)))()
    assert workspace.snapshot() is None
    report = IndexRun(workspace, sources)()
    assert (report.resumed, report.encoded) == (12, 0)
    assert len(lines(encoded)) == 12


def test_documents_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"item_id": "a", "title": "A", "description": "word " * 200}]
    catalog = write_items(tmp_path / "items.jsonl", rows)
    workspace = make_workspace(tmp_path / "w")
    report = IndexRun(workspace, Sources(catalog))()
    items, tokens = report.cut["text"]
    assert items == 1
    assert tokens > 100


def test_opening_never_indexed_workspace_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="llmrec index"):
        Recommender(make_workspace(tmp_path / "w"))
    with pytest.raises(WorkspaceError, match="no workspace here"):
        Workspace(tmp_path / "nowhere")
