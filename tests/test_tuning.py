"""``llmrec tune``: a search on validation only, which can be stopped and goes on."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from shop import item_rows, make_workspace, write_events, write_items

from llmrec.cli.main import run
from llmrec.errors import ConfigError, CorruptFileError, RequestError, WorkspaceError
from llmrec.evaluate.splits import SPLITS, Stages, leave_last_out
from llmrec.evaluating import Evaluation
from llmrec.indexing import IndexRun, Sources
from llmrec.rank.log import Log
from llmrec.rank.ranker import Ranker
from llmrec.tuning import Tried, Tuned, Tuning, apply
from llmrec.workspace import Workspace

pytestmark = pytest.mark.slow

COMMENT = "# what we found in spring\n"
TOML = f"{COMMENT}[rank]\nsequence_epochs = 2 # enough\nrecent_days = 30.0\n"


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with 60 users, each with six events."""
    folder = tmp_path_factory.mktemp("shop")
    ids = [row["item_id"] for row in item_rows()]
    rng = np.random.default_rng(0)
    rows = [
        {"user_id": f"u{user}", "item_id": ids[item], "timestamp": 1_600_000_000 + 100 * user + step}
        for user in range(60)
        for step, item in enumerate(rng.permutation(len(ids))[:6].tolist())
    ]
    items = write_items(folder / "items.jsonl", item_rows())
    with pytest.MonkeyPatch.context() as patch:  # this runs before the fixtures of a single test
        patch.setenv("LLMREC_HOME", str(folder))
        patch.syspath_prepend(str(Path(__file__).parent / "plugins"))
        make_workspace(folder / "w").close()
        settings = folder / "w" / "llmrec.toml"
        settings.write_text(settings.read_text(encoding="utf-8") + TOML, encoding="utf-8")
        workspace = Workspace(folder / "w")
        IndexRun(workspace, Sources(items, (write_events(folder / "log.csv", rows),)))()
        workspace.close()
    return workspace.root


@pytest.fixture
def root(indexed: Path, tmp_path: Path) -> Path:
    """A copy that a test may write to."""
    return Path(shutil.copytree(indexed, tmp_path / "w"))


def search(root: Path, count: int) -> Tuned:
    workspace = Workspace(root)
    try:
        return Tuning(Evaluation(workspace))(count)
    finally:
        workspace.close()


def told(tuned: Tuned) -> list[tuple[dict[str, object], list[float]]]:
    return [(dict(tried.setting), tried.values.tolist()) for tried in tuned.tried]


def test_a_search_that_was_stopped_ends_as_another(root: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(root, tmp_path / "other"))
    whole = search(root, 4)
    assert len(whole.tried) == 4
    assert whole.present.setting["recent_days"] == 30.0, "the workspace's own settings come first"
    assert len({json.dumps(tried.setting, sort_keys=True) for tried in whole.tried}) == 4
    search(other, 2)
    (journal,) = (other / "tuning").glob("*.jsonl")
    with journal.open("ab") as file:
        file.write(b'{"setting": {"fusion": "ear')  # a kill in the middle of a line
    assert told(search(other, 4)) == told(whole)
    assert told(search(other, 4)) == told(whole), "nothing is left to try"
    assert len(search(other, 3).tried) == 3


def test_values_are_those_of_an_evaluation_of_validation(root: Path) -> None:
    (tried,) = search(root, 1).tried
    workspace = Workspace(root)
    evaluation = Evaluation(workspace)
    validation = leave_last_out(evaluation.log)[0]
    ranker = Ranker.fit(evaluation.catalog, validation.train, evaluation.settings, evaluation.users)
    hits = []
    for case in validation.cases:
        taste = evaluation.taste(validation, case)
        found = [entry.row for entry in ranker.rank(taste, 10, taste.history)]
        place = found.index(case.targets[0]) if case.targets[0] in found else None
        hits.append(0.0 if place is None else 1 / np.log2(2 + place))
    workspace.close()
    np.testing.assert_allclose(tried.values, hits, atol=1e-6)


class Poison:
    """The test stage: whoever touches it fails."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the test stage's {name} was looked at")


def test_the_test_stage_is_not_looked_at(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stages(log: Log) -> Stages:
        return leave_last_out(log)[0], Poison()  # type: ignore[return-value]

    monkeypatch.setitem(SPLITS, "leave-last-out", stages)
    assert len(search(root, 2).tried) == 2


def test_another_log_begins_another_search(root: Path) -> None:
    search(root, 1)
    workspace = Workspace(root)
    log = write_events(
        root.parent / "more.csv", [{"user_id": "u1", "item_id": "music-3", "timestamp": 1_700_000_000}]
    )
    items = write_items(root.parent / "items.jsonl", item_rows())
    IndexRun(workspace, Sources(items, (log,)))()
    workspace.close()
    search(root, 1)
    assert len(list((root / "tuning").glob("*.jsonl"))) == 2


def test_what_cannot_be_done_is_named(root: Path) -> None:
    search(root, 1)
    workspace = Workspace(root)
    evaluation = Evaluation(workspace)
    with pytest.raises(RequestError, match="no split 'random'"):
        Tuning(evaluation, "random")
    tuning = Tuning(evaluation)
    tuning.path.write_bytes(b'{"setting": 1}\n' + tuning.path.read_bytes())
    with pytest.raises(CorruptFileError, match=r"\.jsonl:1: "):
        tuning(2)
    from filelock import FileLock

    with FileLock(tuning.path.with_suffix(".lock")), pytest.raises(WorkspaceError, match="another run"):
        tuning(1)
    workspace.close()


def test_settings_are_written_and_the_rest_of_the_file_stays(root: Path) -> None:
    workspace = Workspace(root)
    apply(workspace, {"recent_days": 12.5, "fusion": "late"})
    workspace.close()
    text = (root / "llmrec.toml").read_text(encoding="utf-8")
    assert COMMENT in text
    assert "sequence_epochs = 2 # enough" in text
    changed = Workspace(root)
    assert (changed.settings.rank.recent_days, changed.settings.rank.fusion) == (12.5, "late")
    with pytest.raises(ConfigError, match="recent_days"):
        apply(changed, {"recent_days": -1.0})
    changed.close()
    assert (root / "llmrec.toml").read_text(encoding="utf-8") == text
    assert not list(root.glob(".llmrec.toml*"))


def test_the_next_index_run_trains_by_new_settings(root: Path, tmp_path: Path) -> None:
    workspace = Workspace(root)
    before = workspace.require_present().channels
    items = write_items(tmp_path / "items.jsonl", item_rows())
    IndexRun(workspace, Sources(items))()
    assert workspace.require_present().channels == before, "nothing changed"
    apply(workspace, {"recent_days": 12.5})
    workspace.close()
    changed = Workspace(root)
    report = IndexRun(changed, Sources(items))()
    present = changed.require_present()
    changed.close()
    assert report.encoded == 0
    assert present.channels != before
    assert Ranker.trained_by(present.channels, changed.settings.rank)


def tuned_by(values: Sequence[Sequence[float]]) -> Tuned:
    tried = [Tried({"knn_window": at, "fusion": "late"}, np.array(of)) for at, of in enumerate(values)]
    return Tuned(tried, "leave-last-out")


def test_the_best_is_the_first_of_equals_and_says_what_changes() -> None:
    tuned = tuned_by([[0.1, 0.2], [0.3, 0.2], [0.2, 0.3]])
    assert tuned.best.setting["knn_window"] == 1
    assert tuned.changes == {"knn_window": 1}
    assert tuned.difference.mean == pytest.approx(0.1)
    assert tuned_by([[0.3, 0.3], [0.3, 0.2]]).changes == {}


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["llmrec", "tune", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "160")
    run()


def test_the_command(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = (root / "llmrec.toml").read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        command(monkeypatch, "-w", root, "--trials", 3, "--json")
    assert not end.value.code
    document = json.loads(capsys.readouterr().out)
    assert (document["stage"], len(document["tried"]), document["applied"]) == ("validation", 3, False)
    assert (root / "llmrec.toml").read_text(encoding="utf-8") == before
    with pytest.raises(SystemExit) as end:
        command(monkeypatch, "-w", root, "--trials", 3, "--apply")
    assert not end.value.code
    out = capsys.readouterr().out
    assert "present" in out
    changed = (root / "llmrec.toml").read_text(encoding="utf-8") != before
    assert changed == bool(document["changes"])
    assert ("flattered" in out) == changed
